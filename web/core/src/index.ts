/** `@althing/core`: join a conference without a user interface. */
export { join } from './conference/join.ts'
export { readServerConfig } from './conference/config.ts'
export { createLocalMedia } from './media/local.ts'
export { normaliseRoomName } from './room/name.ts'
export type * from './types.ts'
