/** Puts the page together; whoever calls it chooses what stands behind the two doors of `core`. */
import { mount } from 'svelte'
import './styles/tokens.css'
import './styles/base.css'
import './styles/controls.css'
import AppView from './App.svelte'
import { App, type Core } from './app.svelte.ts'
import { direction, language } from './i18n/index.ts'
import { readPageConfig } from './page.ts'
import { Settings } from './settings.svelte.ts'
import { browserStore } from './store.ts'

export function start(core: Core): App {
  document.documentElement.lang = language
  document.documentElement.dir = direction
  const app = new App(core, readPageConfig(document), new Settings(browserStore()))
  app.boot()
  mount(AppView, { target: document.body, props: { app } })
  return app
}
