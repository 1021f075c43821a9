/** Puts arguments into messages that the build has compiled from ICU. */

export type Part =
  | string
  | [argument: string]
  | [argument: string, 'number']
  | [argument: string, 'plural' | 'ordinal' | 'select', options: Record<string, Message>]
export type Message = string | Part[]
export type Catalogue = Record<string, Message>
export type Arguments = Record<string, string | number>

export function format(message: Message, language: string, args: Arguments = {}): string {
  return write(message, language, args, 0)
}

function write(message: Message, language: string, args: Arguments, count: number): string {
  if (typeof message === 'string') return message
  return message.map(part => writePart(part, language, args, count)).join('')
}

function writePart(part: Part, language: string, args: Arguments, count: number): string {
  if (typeof part === 'string') return part
  const [name, kind, options = {}] = part
  if (name === '#') return number(count, language)
  const value = args[name] ?? ''
  switch (kind) {
    case undefined:
      return String(value)
    case 'number':
      return number(Number(value), language)
    case 'select':
      return write(options[String(value)] ?? options['other'] ?? '', language, args, count)
    default: {
      const rule = new Intl.PluralRules(language, { type: kind === 'ordinal' ? 'ordinal' : 'cardinal' })
      const chosen = options[`=${value}`] ?? options[rule.select(Number(value))] ?? options['other'] ?? ''
      return write(chosen, language, args, Number(value))
    }
  }
}

function number(value: number, language: string): string {
  return new Intl.NumberFormat(language).format(value)
}
