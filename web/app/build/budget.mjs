/** Fails when the build outgrew what a first visit may cost (gzip, 1 KB = 1024 bytes). */
import { readdirSync, statSync } from 'node:fs'

const assets = new URL('../dist/assets/', import.meta.url)
const budgets = [
  { what: 'JavaScript', limit: 130, takes: name => name.endsWith('.js.gz') },
  { what: 'styles', limit: 18, takes: name => name.endsWith('.css.gz') },
  { what: 'texts', limit: 14, takes: name => /^texts-en-.*\.js\.gz$/.test(name) },
  { what: 'icons', limit: 5, takes: name => /^sprite-.*\.svg\.gz$/.test(name) }
]

const files = readdirSync(assets)
for (const { what, limit, takes } of budgets) {
  const found = files.filter(takes)
  const size = found.reduce((sum, name) => sum + statSync(new URL(name, assets)).size, 0) / 1024
  const good = found.length > 0 && size <= limit
  console.log(`${good ? 'ok  ' : 'OVER'} ${what}: ${size.toFixed(1)} of ${limit} KB`)
  if (!good) process.exitCode = 1
}
