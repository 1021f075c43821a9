import base from '../playwright.config.ts';

// Rooms are a matter of signalling, the same in every browser: one is enough. What is forwarded is the bridge's
// choice, and Firefox sends cameras of one size only.
const projects = (base.projects ?? []).map(({ testIgnore: _, testMatch: __, ...project }) => ({
  ...project,
  testIgnore: project.name === 'chromium' ? [] : /rooms|layers/,
}));

export default {
  ...base,
  projects,
  testDir: '.',
  outputDir: '../test-results/interop',
  reporter: [['./reporter.ts']],
};
