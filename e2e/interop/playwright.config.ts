import base from '../playwright.config.ts';

// Rooms are a matter of signalling, the same in every browser: one is enough. Layers are looked at through counters that
// Firefox leaves at zero for live pictures.
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
