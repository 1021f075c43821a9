import { defineConfig } from '@playwright/test';

const chromiumArguments = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--use-fake-ui-for-media-stream',
  '--use-fake-device-for-media-stream=fps=15',
  '--auto-select-desktop-capture-source=Entire screen',
];

/** Preferences that make Firefox use its fake camera and microphone without asking. */
const firefoxPreferences = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.peerconnection.ice.obfuscate_host_addresses': false,
};

export default defineConfig({
  testDir: 'tests',
  outputDir: 'test-results',
  // Two cores carry the server and every browser: one test at a time.
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  use: {
    viewport: { width: 1280, height: 800 },
    trace: 'off',
    actionTimeout: 15_000,
  },
  projects: [
    {
      name: 'chromium',
      testIgnore: /firefox\.spec\.ts/,
      use: {
        browserName: 'chromium',
        launchOptions: { executablePath: '/usr/bin/chromium', args: chromiumArguments },
        permissions: ['camera', 'microphone', 'clipboard-read', 'clipboard-write'],
      },
    },
    {
      name: 'firefox',
      testMatch: /firefox\.spec\.ts/,
      use: {
        browserName: 'firefox',
        channel: 'moz-firefox',
        headless: false,
        launchOptions: { executablePath: '/usr/bin/firefox-esr', firefoxUserPrefs: firefoxPreferences },
      },
    },
  ],
});
