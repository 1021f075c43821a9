/**
 * Two rules of the house that no ready-made linter knows: what people read comes from the catalogue,
 * and nothing on the page knows left from right.
 */
import { parse } from 'svelte/compiler'

const SPOKEN = new Set(['alt', 'aria-description', 'aria-label', 'aria-placeholder', 'aria-roledescription', 'aria-valuetext', 'label', 'placeholder', 'title'])
const PHYSICAL = [
  /^(?:left|right|top|bottom)$/u,
  /^(?:margin|padding|border|inset|scroll-margin|scroll-padding)-(?:left|right|top|bottom)\b/u,
  /^border-(?:top|bottom)-(?:left|right)-radius$/u,
  /^(?:min-|max-)?(?:width|height)$/u,
  /^overflow-[xy]$/u
]
const PHYSICAL_VALUE = /^(?:left|right)$/u
const SIDED = new Set(['text-align', 'float', 'clear', 'caption-side'])
const LETTER = /\p{L}/u
// A list may only scroll along its block; browsers have these names, and the logical ones not everywhere.
const ALLOWED = new Set(['overflow-x', 'overflow-y'])

/** Findings in one Svelte file: `{ line, message }`. */
export function checkComponent(source) {
  const tree = parse(source, { modern: true })
  const found = []
  const report = (node, message) => found.push({ line: lineOf(source, node.start), message })
  walk(tree.fragment, node => checkNode(node, report))
  if (tree.css) walk({ type: 'Styles', children: tree.css.children }, node => checkDeclaration(node, report))
  return found
}

/** Findings in one style sheet. */
export function checkStyles(source) {
  const opening = '<style>'
  return checkComponent(`${opening}${source}</style>`)
}

function checkNode(node, report) {
  switch (node.type) {
    case 'Text':
      if (LETTER.test(node.data)) report(node, `literal text «${node.data.trim()}»: put it into src/i18n/en.json`)
      break
    case 'ExpressionTag':
      for (const literal of spokenLiterals(node.expression)) report(literal, 'literal text in an expression: put it into src/i18n/en.json')
      break
    case 'StyleDirective':
      if (isPhysical(node.name)) report(node, `style:${node.name} knows left from right: use the logical property`)
      break
    case 'Attribute':
      checkAttribute(node, report)
      break
  }
}

function checkAttribute(node, report) {
  if (node.name === 'style') report(node, 'a style attribute is refused by the content security policy: use style: directives')
  if (!SPOKEN.has(node.name) || node.value === true) return
  for (const part of [node.value].flat()) {
    const literal = part.type === 'Text' ? LETTER.test(part.data) : spokenLiterals(part.expression).length > 0
    if (literal) report(node, `literal ${node.name}: put it into src/i18n/en.json`)
  }
}

/** String literals that an expression may yield; arguments and comparisons yield nothing. */
function spokenLiterals(expression) {
  switch (expression.type) {
    case 'Literal':
      return typeof expression.value === 'string' && LETTER.test(expression.value) ? [expression] : []
    case 'TemplateLiteral':
      return [
        ...expression.quasis.filter(quasi => LETTER.test(quasi.value.cooked ?? '')),
        ...expression.expressions.flatMap(spokenLiterals)
      ]
    case 'ConditionalExpression':
      return [...spokenLiterals(expression.consequent), ...spokenLiterals(expression.alternate)]
    case 'LogicalExpression':
      return [...spokenLiterals(expression.left), ...spokenLiterals(expression.right)]
    case 'BinaryExpression':
      return expression.operator === '+' ? [...spokenLiterals(expression.left), ...spokenLiterals(expression.right)] : []
    default:
      return []
  }
}

function checkDeclaration(node, report) {
  if (node.type !== 'Declaration') return
  const name = node.property.toLowerCase()
  const sided = SIDED.has(name) && PHYSICAL_VALUE.test(node.value.trim())
  if (isPhysical(name) || sided) report(node, `${name} knows left from right: use the logical property`)
}

function isPhysical(name) {
  return !ALLOWED.has(name) && PHYSICAL.some(pattern => pattern.test(name))
}

/** Visits markup and styles; attributes decide for themselves, so their values are not text. */
function walk(node, visit) {
  if (Array.isArray(node)) {
    for (const child of node) walk(child, visit)
    return
  }
  if (node === null || typeof node !== 'object' || typeof node.type !== 'string') return
  visit(node)
  if (node.type === 'Attribute' || node.type === 'StyleDirective' || node.type === 'ExpressionTag') return
  for (const [key, child] of Object.entries(node)) {
    if (key !== 'expression' && key !== 'parent' && child !== null && typeof child === 'object') walk(child, visit)
  }
}

function lineOf(source, offset) {
  return source.slice(0, offset).split('\n').length
}
