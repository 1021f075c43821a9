// A camera in several sizes: who looks at it large gets a large picture, who looks at it small a small one, and
// going from one to the other is not seen.
import { test, expect } from '@playwright/test';
import { everybodyMoves, join } from '../lib/meeting.ts';
import { height, pin, sentHeights, watchGaps } from '../lib/picture.ts';
import { startServer, type Server } from '../lib/server.ts';

let server: Server;
test.beforeAll(async () => {
  server = await startServer();
});
test.afterAll(async () => {
  await server.stop();
});

test('one looks large, two look small: heights differ, and no picture stands still on a switch', async ({ browser }) => {
  test.setTimeout(180_000);
  const [ada, bo, chen] = [
    await join(browser, server.url, 'sizes', 'Ada'),
    await join(browser, server.url, 'sizes', 'Bo'),
    await join(browser, server.url, 'sizes', 'Chen'),
  ];
  await everybodyMoves([ada, bo, chen]);
  await test.step('beside each other nobody needs more than 360 lines, and no more are sent', async () => {
    await expect.poll(() => sentHeights(chen.page), { timeout: 30_000 }).toEqual([180, 360]);
  });

  // Ada looks at Chen; Bo and Chen look at Ada, and see Chen, and Bo, beside her.
  await pin(ada, 'Chen');
  await pin(bo, 'Ada');
  await pin(chen, 'Ada');
  await test.step('each gets the size that is looked at', async () => {
    await expect.poll(() => height(ada, 'Chen'), { timeout: 30_000 }).toBe(720);
    await expect.poll(() => height(ada, 'Bo'), { timeout: 30_000 }).toBe(180);
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(180);
    await expect.poll(() => height(bo, 'Ada'), { timeout: 30_000 }).toBe(720);
    expect(await sentHeights(chen.page)).toEqual([180, 360, 720]);
  });

  await test.step('up and down again without standing still', async () => {
    const gap = watchGaps(bo.page, 'Chen');
    await pin(bo, 'Chen');
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(720);
    await pin(bo, 'Ada');
    await expect.poll(() => height(bo, 'Chen'), { timeout: 30_000 }).toBe(180);
    const longest = await gap();
    console.log(`longest gap between two frames over two switches: ${longest} ms`);
    expect(longest).toBeLessThan(1_000);
  });

  await test.step('what nobody looks at large is not sent large', async () => {
    await pin(ada, 'Bo');
    await expect.poll(() => sentHeights(chen.page), { timeout: 30_000 }).not.toContain(720);
  });
  for (const { context, errors } of [ada, bo, chen]) {
    expect(errors).toEqual([]);
    await context.close();
  }
});
