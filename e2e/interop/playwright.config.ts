import base from '../playwright.config.ts';

// Rooms are a matter of signalling, the same in every browser: one is enough.
const projects = (base.projects ?? []).map(({ testIgnore: _, testMatch: __, ...project }) => ({
  ...project,
  testIgnore: project.name === 'chromium' ? [] : /rooms/,
}));

export default {
  ...base,
  projects,
  testDir: '.',
  outputDir: '../test-results/interop',
  reporter: [['./reporter.ts']],
};
