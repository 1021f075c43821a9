/**
 * Turns a level, ten times a second, into «speaks» or not: on after 80 ms of sound, off after 400 ms
 * of silence, so that the ring neither flickers between words nor flashes at a key press.
 */
const ON_AFTER_MS = 80
const OFF_AFTER_MS = 400
const AUDIBLE = 0.05

export class SpeakingGate {
  speaking = false
  #since: number | null = null

  /** Returns whether the answer changed. */
  hear(level: number, now: number): boolean {
    const differs = level >= AUDIBLE !== this.speaking
    if (!differs) {
      this.#since = null
      return false
    }
    this.#since ??= now
    if (now - this.#since < (this.speaking ? OFF_AFTER_MS : ON_AFTER_MS)) return false
    this.speaking = !this.speaking
    this.#since = null
    return true
  }
}
