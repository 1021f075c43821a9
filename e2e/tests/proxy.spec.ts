// Behind Debian's nginx as TLS proxy: one upstream, no special routes.
import { test, expect } from '@playwright/test';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startServer, type Server } from '../lib/server.ts';
import { expectProgress } from '../lib/media.ts';
import { expectMoving, join } from '../lib/meeting.ts';

const port = 18_443;
let server: Server;
let nginx: ChildProcess;
let folder: string;

test.beforeAll(async () => {
  server = await startServer();
  folder = mkdtempSync(path.join(tmpdir(), 'althing-nginx-'));
  execFileSync('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', '/CN=meet.test', '-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`,
  ], { stdio: 'ignore' });
  writeFileSync(`${folder}/nginx.conf`, `
    daemon off; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
      fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
      map $http_upgrade $connection_upgrade { default upgrade; '' close; }
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
        location / {
          proxy_pass ${server.url.replace('localhost', '127.0.0.1')};
          proxy_http_version 1.1;
          proxy_set_header Host $http_host;
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection $connection_upgrade;
          proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
          proxy_set_header X-Forwarded-Proto $scheme;
        }
      }
    }`);
  nginx = spawn('/usr/sbin/nginx', ['-e', `${folder}/error.log`, '-c', `${folder}/nginx.conf`], { stdio: 'ignore' });
  await expect.poll(() => {
    try {
      execFileSync('curl', ['-skf', `https://127.0.0.1:${port}/health`], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  }).toBe(true);
});

test.afterAll(async () => {
  const ended = once(nginx, 'exit');
  nginx.kill('SIGTERM');
  await ended;
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a meeting through nginx with TLS', async ({ browser }) => {
  const url = `https://localhost:${port}`;
  const config = execFileSync('curl', ['-sk', `${url}/config.js`]).toString();
  expect(config).toContain(`wss://localhost:${port}/xmpp-websocket`);
  const ada = await join(browser, url, 'proxied', 'Ada');
  const bo = await join(browser, url, 'proxied', 'Bo');
  await expectMoving(ada.page, 'Bo');
  await expectMoving(bo.page, 'Ada');
  await expectProgress(ada.page, 'audio', 1);
  await ada.context.close();
  await bo.context.close();
});
