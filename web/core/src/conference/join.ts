import type { Conference, JoinOptions } from '../types.ts'
import { createLocalMedia } from '../media/local.ts'
import { Meeting } from './meeting.ts'

/** Joins a room. Returns at once; the snapshot tells how it goes. */
export function join(options: JoinOptions): Conference {
  const media = options.media ?? createLocalMedia()
  return new Meeting(options, media, options.media === undefined)
}
