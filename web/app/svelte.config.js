/** Runes everywhere; a warning of the compiler is an error of the build. */
export default {
  compilerOptions: { runes: true },
  onwarn(warning) {
    throw new Error(`${warning.filename}: ${warning.message}`)
  }
}
