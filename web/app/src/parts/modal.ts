import type { Attachment } from 'svelte/attachments'

/** Opens a dialog above everything; whoever opened it has the focus again when it goes. */
export const modal: Attachment<HTMLDialogElement> = dialog => {
  const opener = document.activeElement
  dialog.showModal()
  return () => {
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus()
  }
}
