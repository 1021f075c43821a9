declare module 'virtual:texts/*' {
  const texts: import('./i18n/format.ts').Catalogue
  export default texts
}

declare module 'virtual:sprite' {
  /** Address of the icon sprite. */
  const url: string
  export default url
}
