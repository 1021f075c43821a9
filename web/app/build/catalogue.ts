/**
 * Compiles the ICU messages of `src/i18n/<language>.json` at build time, so that no parser reaches
 * the browser. `import texts from 'virtual:texts/en'` gives the compiled catalogue.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse, TYPE, type MessageFormatElement } from '@formatjs/icu-messageformat-parser'
import type { Plugin } from 'vite'
import type { Catalogue, Message, Part } from '../src/i18n/format.ts'

const PREFIX = 'virtual:texts/'

export function catalogue(): Plugin {
  return {
    name: 'althing:catalogue',
    resolveId: id => (id.startsWith(PREFIX) ? `\0${id}` : undefined),
    load(id) {
      if (!id.startsWith(`\0${PREFIX}`)) return
      const language = id.slice(PREFIX.length + 1)
      const file = fileURLToPath(new URL(`../src/i18n/${language}.json`, import.meta.url))
      this.addWatchFile(file)
      const texts = compileCatalogue(JSON.parse(readFileSync(file, 'utf8')))
      return { code: `export default JSON.parse(${JSON.stringify(JSON.stringify(texts))})`, map: null }
    }
  }
}

/** Throws on the first message that is not valid ICU, naming its key. */
export function compileCatalogue(texts: Record<string, string>): Catalogue {
  return Object.fromEntries(
    Object.entries(texts).map(([key, text]) => {
      try {
        return [key, compile(text)]
      } catch (cause) {
        throw new Error(`text ${key} is not a valid message: ${text}`, { cause })
      }
    })
  )
}

export function compile(text: string): Message {
  return squeeze(parts(parse(text, { ignoreTag: true })))
}

function squeeze(all: Part[]): Message {
  if (all.length === 0) return ''
  return all.length === 1 && typeof all[0] === 'string' ? all[0] : all
}

function parts(elements: MessageFormatElement[]): Part[] {
  return elements.map(element => {
    switch (element.type) {
      case TYPE.literal:
        return element.value
      case TYPE.argument:
        return [element.value]
      case TYPE.pound:
        return ['#']
      case TYPE.number:
        return [element.value, 'number']
      case TYPE.plural:
      case TYPE.select: {
        const options = Object.fromEntries(
          Object.entries(element.options).map(([name, option]) => [name, squeeze(parts(option.value))])
        )
        if (element.type === TYPE.select) return [element.value, 'select', options]
        return [element.value, element.pluralType === 'ordinal' ? 'ordinal' : 'plural', options]
      }
      default:
        throw new Error('only arguments, numbers, plural, selectordinal and select are supported')
    }
  })
}
