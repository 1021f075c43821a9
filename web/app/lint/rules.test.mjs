import { describe, expect, test } from 'vitest'
import { checkComponent, checkStyles } from './rules.mjs'

const lines = source => checkComponent(source).map(({ line }) => line)

describe('text comes from the catalogue', () => {
  test('literal text is refused where people read or hear it', () => {
    for (const source of [
      '<p>Hello</p>',
      '<p>{t("x")} and more</p>',
      '<p>{"Hello"}</p>',
      '<p>{ok ? "Yes" : t("no")}</p>',
      '<p>{name ?? "Guest"}</p>',
      '<p>{`Hello ${name}`}</p>',
      '{#if ok}<b>Ja</b>{/if}',
      '{#each all as one (one)}<li>пункт</li>{/each}',
      '{#snippet extra()}Text{/snippet}',
      '<button aria-label="Close"></button>',
      '<button title={open ? "Close" : t("open")}></button>',
      '<input placeholder="Name {name}" />',
      '<option label="One"></option>'
    ]) {
      expect(lines(source), source).not.toEqual([])
    }
  })

  test('the catalogue, codes, values and punctuation are fine', () => {
    for (const source of [
      '<script>const word = "word"</script><p>{t("a.b")}</p>',
      '<p>{t(ok ? "a.yes" : "a.no", { name })}</p>',
      '<p>{page}/{pages} · {count === "many" ? t("a") : count}</p>',
      '<button data-action="join" class="button primary" aria-label={t("join")} title={hint}></button>',
      '<input type="text" name="theme" autocomplete="off" />',
      '<!-- a comment --><svg viewBox="0 0 24 24"><use href="{sprite}#{name}" /></svg>',
      '{#if state === "open"}{@render extra()}{/if}'
    ]) {
      expect(lines(source), source).toEqual([])
    }
  })

  test('a finding names its line', () => {
    expect(lines('<p>\n  {t("a")}\n  <b>Hello</b>\n</p>')).toEqual([3])
  })
})

describe('nothing knows left from right', () => {
  test('physical properties and values are refused', () => {
    for (const declaration of [
      'left: 0',
      'top: 0',
      'margin-left: 1rem',
      'padding-top: 1rem',
      'border-right-color: red',
      'border-top-left-radius: 1rem',
      'max-width: 10rem',
      'text-align: left',
      'float: right'
    ]) {
      expect(checkStyles(`.a { ${declaration} }`), declaration).toHaveLength(1)
      expect(lines(`<p></p><style>.a { .b { ${declaration} } }</style>`), declaration).toEqual([1])
    }
    expect(lines('<p style:width="1px"></p>')).toEqual([1])
    expect(lines('<p style="color: red"></p>')).toEqual([1])
  })

  test('logical ones are fine, and so are media queries', () => {
    const css = '@media (width < 600px) { .a { margin-inline: 1rem; inset-block-end: 0; text-align: start; overflow-y: auto } }'
    expect(checkStyles(css)).toEqual([])
    expect(checkStyles(':root { --left: 1px; color-scheme: light dark; transition: left 1s }')).toEqual([])
  })
})
