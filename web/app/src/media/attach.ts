/** Attachments: what is written to an element ten or sixty times a second never passes through a store. */
import type { Attachment } from 'svelte/attachments'
import { SpeakingGate } from './speaking.ts'

export type WatchLevel = (listener: (level: number) => void) => () => void

/** Shows a track. The element gets `data-playing` with its first frame, so that no black box flashes. */
export function picture(track: MediaStreamTrack): Attachment<HTMLVideoElement> {
  return video => {
    video.muted = true
    video.srcObject = new MediaStream([track])
    delete video.dataset['playing']
    const reveal = () => void (video.dataset['playing'] = '')
    const frame = 'requestVideoFrameCallback' in video ? video.requestVideoFrameCallback(reveal) : null
    if (frame === null) video.addEventListener('playing', reveal, { once: true })
    // A tab in the background refuses to play; it starts by itself when shown.
    video.play().catch(() => undefined)
    return () => {
      if (frame !== null) video.cancelVideoFrameCallback(frame)
      video.removeEventListener('playing', reveal)
      video.srcObject = null
    }
  }
}

/** Plays a remote source. `blocked` is called when the browser wants a click first. */
export function sound(track: MediaStreamTrack, blocked: () => void): Attachment<HTMLAudioElement> {
  return audio => {
    audio.srcObject = new MediaStream([track])
    audio.play().catch((error: unknown) => {
      if (error instanceof DOMException && error.name === 'NotAllowedError') blocked()
    })
    return () => {
      audio.srcObject = null
    }
  }
}

/** Sends the sound of an element to a chosen speaker where the browser can. */
export function sink(speakerId: string | null): Attachment<HTMLMediaElement> {
  return element => {
    if ('setSinkId' in element) element.setSinkId(speakerId ?? '').catch(() => undefined)
  }
}

/** Keeps `data-speaking` and `--level` of a tile in step with a voice. */
export function speaking(watch: WatchLevel): Attachment<HTMLElement> {
  return element => {
    const gate = new SpeakingGate()
    const stop = watch(level => {
      if (gate.hear(level, performance.now())) element.toggleAttribute('data-speaking', gate.speaking)
      if (gate.speaking) element.style.setProperty('--level', level.toFixed(2))
    })
    return () => {
      stop()
      element.removeAttribute('data-speaking')
    }
  }
}

/** A level meter: `--level` for the eye, `aria-valuenow` for others. */
export function meter(watch: WatchLevel): Attachment<HTMLElement> {
  return element => {
    const stop = watch(level => {
      // The ear is logarithmic, and so is the bar.
      const shown = level <= 0 ? 0 : Math.min(1, Math.max(0, 1 + Math.log10(level) / 2))
      element.style.setProperty('--level', shown.toFixed(2))
      element.setAttribute('aria-valuenow', String(Math.round(shown * 100)))
    })
    return () => {
      stop()
      element.style.setProperty('--level', '0')
      element.setAttribute('aria-valuenow', '0')
    }
  }
}
