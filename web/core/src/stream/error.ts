/** Why a stream could not be opened, or stopped answering. */
export class StreamError extends Error {
  /** The service refused the login: trying again is of no use. */
  readonly refused: boolean
  /** What the service said about a login it refused, for people. */
  readonly text: string | null
  constructor(message: string, refused = false, text: string | null = null) {
    super(message)
    this.refused = refused
    this.text = text
  }
}
