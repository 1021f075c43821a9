/** Joins the icons named in `src/parts/icons.ts` into one hashed SVG file of symbols. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Plugin } from 'vite'
import { iconFiles } from '../src/parts/icons.ts'

const ID = 'virtual:sprite'
const DEV_PATH = '/@sprite.svg'

export function sprite(): Plugin {
  let serving = false
  return {
    name: 'althing:sprite',
    configResolved(config) {
      serving = config.command === 'serve'
    },
    resolveId: id => (id === ID ? `\0${ID}` : undefined),
    load(id) {
      if (id !== `\0${ID}`) return
      if (serving) return `export default ${JSON.stringify(DEV_PATH)}`
      const file = this.emitFile({ type: 'asset', name: 'sprite.svg', source: drawSprite() })
      return `export default import.meta.ROLLUP_FILE_URL_${file}`
    },
    configureServer(server) {
      server.middlewares.use(DEV_PATH, (_request, response) => {
        response.setHeader('content-type', 'image/svg+xml')
        response.end(drawSprite())
      })
    }
  }
}

export function drawSprite(): string {
  const require = createRequire(import.meta.url)
  const symbols = Object.entries(iconFiles).map(([name, file]) => {
    const svg = readFileSync(require.resolve(`lucide-static/icons/${file}.svg`), 'utf8')
    const body = svg.slice(svg.indexOf('>', svg.indexOf('<svg')) + 1, svg.lastIndexOf('</svg>'))
    return `<symbol id="${name}" viewBox="0 0 24 24">${body.replace(/\s*\n\s*/g, '').trim()}</symbol>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg">${symbols.join('')}</svg>`
}
