/** `node lint/markup.mjs FOLDER`: applies the rules of this folder, prints findings, fails if there are any. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkComponent, checkStyles } from './rules.mjs'

const folder = process.argv[2] ?? 'src'
let count = 0
for (const name of readdirSync(folder, { recursive: true })) {
  const check = name.endsWith('.svelte') ? checkComponent : name.endsWith('.css') ? checkStyles : null
  if (!check) continue
  const path = join(folder, name)
  for (const { line, message } of check(readFileSync(path, 'utf8'))) {
    console.error(`${path}:${line}: ${message}`)
    count++
  }
}
if (count > 0) process.exitCode = 1
