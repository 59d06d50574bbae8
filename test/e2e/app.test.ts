/**
 * The main job, as a person does it, in a real browser on the real server with real kernels: a
 * double-click boots a machine to a shell, a dropped image becomes a machine, two machines on a LAN
 * talk to each other, the graphs move, and closing the window ends nothing.
 *
 * Needs `dist/renderer` (npm run build), Chromium and a kernel.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { chromium, type Browser, type Page } from 'playwright-core';
import { startServer, type RunningServer } from '../../src-main/shells/headless/server.ts';
import { browserArgs, NymphWindow } from './pages.ts';

const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);
/** NYMPH_SHOTS names a folder for pictures of the way; without it none are taken. */
const shots = process.env['NYMPH_SHOTS'];

describe('the main job in the window', { concurrency: false }, () => {
  const home = mkdtempSync(join(tmpdir(), 'nymph-e2e-'));
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let window: NymphWindow;
  const faults: string[] = [];

  before(async () => {
    assert.ok(chromiumPath, 'Chromium is needed: apt install chromium.');
    server = await startServer({ home, buildKernels: false });
    browser = await chromium.launch({ executablePath: chromiumPath, args: browserArgs });
    page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
    page.setDefaultTimeout(20_000);
    page.on('pageerror', (error) => faults.push(error.stack ?? error.message));
    window = new NymphWindow(page);
    await window.open(server.url);
  });

  after(async () => {
    await browser?.close();
    await server?.app.quit('stop');
    rmSync(home, { recursive: true, force: true });
  });

  async function shot(name: string): Promise<void> {
    if (shots) await page.screenshot({ path: join(shots, `${name}.png`) });
  }

  test('on the very first start a Tiny Linux machine is in the list', async () => {
    assert.equal(await window.state('tiny'), 'Off');
    await shot('first-start');
  });

  test('a double-click boots it to a shell that answers what is typed', async () => {
    await window.launch('tiny');
    await window.untilConsole(/tiny login:/);
    await window.type('root\n');
    await window.untilConsole(/# ?$/m);
    await window.type('echo $((6 * 7))-$(uname -m)\n');
    await window.untilConsole(/^42-x86_64$/m);
    assert.equal(await window.state('tiny'), 'Running');
    await shot('console');
  });

  test('the size of the terminal reaches the guest', async () => {
    await window.type('clear; stty size\n');
    const text = await window.untilConsole(/^\d+ \d+$/m);
    const [rows, columns] = /^(\d+) (\d+)$/m.exec(text)!.slice(1).map(Number);
    assert.ok(rows! > 20 && rows! < 80, `${rows} rows`);
    assert.ok(columns! > 80 && columns! < 250, `${columns} columns`);
  });

  test('a dropped qcow2 becomes a running machine in two clicks', async () => {
    const raw = join(home, 'data/images/tiny/disk.raw');
    const dropped = join(home, 'dropped.qcow2');
    // A copy, since qemu-img respects the lock of the machine that runs on it.
    const copy = join(home, 'copy.raw');
    execFileSync('cp', ['--sparse=always', raw, copy]);
    execFileSync('qemu-img', ['convert', '-c', '-O', 'qcow2', copy, dropped]);
    await window.giveFile(dropped);
    await page.getByRole('button', { name: 'Create and start', exact: true }).waitFor();
    await shot('drop');
    await page.getByRole('button', { name: 'Create and start', exact: true }).click();
    await window.untilState('dropped', 'Running', 60_000);
    await window.untilConsole(/dropped login:/);
  });

  test('two machines plugged into a LAN find each other by name', async () => {
    await server.app.lans.create('lab', { dhcp: true, dns: true });
    for (const machine of ['tiny', 'dropped']) {
      await server.app.machines.connect(server.app.machines.find(machine), 'lab');
    }
    await window.goTo('Networks');
    await page.getByText('lab').first().waitFor();
    await page.getByText(/10\.77\.\d+\.\d+/).first().waitFor();
    await shot('networks');
    await window.openMachine('tiny', 'Console');
    await window.type('clear; until ping -c 1 -W 1 dropped; do sleep 1; done\n');
    await window.untilConsole(/1 packets received/);
  });

  test('the graphs show what it uses, as the host sees it', async () => {
    await window.openMachine('tiny', 'Overview');
    await page.locator('.uplot').first().waitFor();
    const main = page.getByRole('main');
    await main.getByText(/given/).first().waitFor();
    await page.waitForTimeout(2500);
    const text = (await main.textContent()) ?? '';
    assert.match(text, /host\s*[1-9][\d.]* MiB/);
    await shot('overview');
  });

  test('a machine in a machine in a machine, each with its own console', async () => {
    await window.newMachine({ name: 'house' });
    for (const [outer, inner] of [['house', 'room'], ['room', 'closet']] as const) {
      await window.untilState(outer, 'Running', 60_000);
      await window.menu(outer, 'New machine inside…');
      const sheet = window.dialog(`New machine inside ${outer}`);
      await sheet.getByLabel('Name').fill(inner);
      await sheet.getByRole('button', { name: 'Create and start' }).click();
    }
    await window.untilState('closet', 'Running', 60_000);
    for (const name of ['house', 'room', 'closet']) {
      await window.openMachine(name, 'Console');
      await window.untilConsole(new RegExp(`${name} login:`), 60_000);
      await window.type('root\n');
      await window.untilConsole(/# ?$/m);
      await window.type('echo here-is-$(hostname)\n');
      await window.untilConsole(new RegExp(`^here-is-${name}$`, 'm'));
    }
    await shot('nested');
  });

  test('the outermost shows what is used inside, and is stopped together with it', async () => {
    await window.openMachine('house', 'Overview');
    const main = page.getByRole('main');
    await main.getByText(/inside/).first().waitFor();
    await page.waitForTimeout(3000);
    assert.match((await main.textContent()) ?? '', /inside\s*[1-9][\d.]* MiB/);
    await shot('nested-overview');
    await window.press('Stop');
    await window.dialog(/^Stop “house”/).getByRole('button', { name: 'Stop all' }).click();
    for (const name of ['closet', 'room', 'house']) await window.untilState(name, 'Off', 60_000);
  });

  test('a closed window ends nothing, and a new one shows the same console', async () => {
    await page.reload();
    await window.ready();
    await window.openMachine('tiny', 'Console');
    await window.untilConsole(/1 packets received/);
    assert.equal(await window.state('tiny'), 'Running');
    assert.deepEqual(faults, []);
  });
});
