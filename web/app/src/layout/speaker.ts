/**
 * Who has the stage while people talk. The bridge names a dominant speaker quickly; the stage keeps
 * its person until another has been dominant for a second, so that a cough does not take it. Our own
 * speech never moves our own stage.
 */
export interface StageSpeaker {
  /** Who has the stage; null before anybody else spoke. */
  readonly holds: string | null
  /** Who spoke last and may take it at `at`. */
  readonly waiting: { readonly id: string; readonly at: number } | null
}

export const emptyStage: StageSpeaker = { holds: null, waiting: null }
export const TAKES_AFTER_MS = 1000

/** `speaker` is the dominant one now, null for nobody or oneself. */
export function hear(stage: StageSpeaker, speaker: string | null, now: number): StageSpeaker {
  if (speaker === null || speaker === stage.holds) return stage.waiting ? { ...stage, waiting: null } : stage
  if (stage.holds === null) return { holds: speaker, waiting: null }
  if (stage.waiting?.id !== speaker) return { ...stage, waiting: { id: speaker, at: now + TAKES_AFTER_MS } }
  return now >= stage.waiting.at ? { holds: speaker, waiting: null } : stage
}

/** Somebody left. */
export function forget(stage: StageSpeaker, present: (id: string) => boolean): StageSpeaker {
  const holds = stage.holds !== null && present(stage.holds) ? stage.holds : null
  const waiting = stage.waiting && present(stage.waiting.id) ? stage.waiting : null
  return holds === stage.holds && waiting === stage.waiting ? stage : { holds, waiting }
}
