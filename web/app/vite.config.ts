import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'
import { catalogue } from './build/catalogue.ts'
import { compress } from './build/compress.ts'
import { sprite } from './build/sprite.ts'

const SERVER = 'http://localhost:8000'
const toServer = { target: SERVER, ws: true }

export default defineConfig(({ mode }) => ({
  plugins: [catalogue(), sprite(), svelte(), compress()],
  build: {
    // Evergreen browsers only; these know `light-dark()`, which must reach them untouched.
    target: ['chrome123', 'edge123', 'firefox128', 'safari17.5'],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        codeSplitting: { groups: [{ name: 'texts-en', test: /virtual:texts\/en/ }] }
      }
    }
  },
  server: {
    proxy: {
      '/xmpp-websocket': toServer,
      '/colibri-ws': toServer,
      '/conference-request': toServer
    }
  },
  // Component tests mount real components: without this, vitest would resolve Svelte for servers.
  ...(mode === 'test' ? { resolve: { conditions: ['browser'] } } : {}),
  test: { include: ['{src,build,lint}/**/*.test.{ts,mjs}'] }
}))
