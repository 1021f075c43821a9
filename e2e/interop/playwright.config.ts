import base from '../playwright.config.ts';

const projects = (base.projects ?? []).map(({ testIgnore: _, testMatch: __, ...project }) => project);

export default {
  ...base,
  projects,
  testDir: '.',
  outputDir: '../test-results/interop',
  reporter: [['./reporter.ts']],
};
