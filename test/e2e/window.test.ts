/**
 * The window in a real browser, before the fake backend: what a click, a key or a dropped file
 * does, and that axe finds nothing on any page in either theme. The backend's own behaviour is
 * not the subject here, so everything is quick and the same each time.
 *
 * Needs `dist/renderer` (npm run build) and Chromium.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { chromium, type Browser, type Locator, type Page } from 'playwright-core';
import { serveFake, type FakeServer } from '../support/fake-server.ts';
import { browserArgs, NymphWindow, walk } from './pages.ts';

const require = createRequire(import.meta.url);
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);

type Start = { dark?: boolean; empty?: boolean; stepMs?: number };
type Violation = { id: string; nodes: { html: string; failureSummary?: string }[] };

describe('the window', () => {
  let browser: Browser;
  let server: FakeServer;
  let page: Page;
  let window: NymphWindow;
  let faults: string[] = [];

  before(async () => {
    assert.ok(chromiumPath, 'Chromium is needed: apt install chromium.');
    browser = await chromium.launch({ executablePath: chromiumPath, args: browserArgs });
  });
  after(() => browser?.close());

  async function fresh(options: Start = {}): Promise<void> {
    server = await serveFake({ stepMs: options.stepMs ?? 20, empty: options.empty });
    const context = await browser.newContext({
      viewport: { width: 1280, height: 800 },
      colorScheme: options.dark ? 'dark' : 'light',
      reducedMotion: 'reduce',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    page = await context.newPage();
    page.setDefaultTimeout(10_000);
    faults = [];
    page.on('pageerror', (error) => faults.push(error.stack ?? error.message));
    page.on('console', (message) => {
      if (message.type() === 'error') faults.push(message.text());
    });
    window = new NymphWindow(page);
    await window.open(server.url);
  }

  beforeEach((context) => {
    if (!context.name.includes('[own start]')) return fresh();
    return undefined;
  });
  afterEach(async () => {
    await page.context().close();
    await server.close();
  });

  test('shows every machine with its state as a word, nested under its parent', async () => {
    const rows = await page.getByRole('treeitem').all();
    const labels = await Promise.all(rows.map((row) => row.getAttribute('aria-label')));
    assert.deepEqual(labels, [
      'build-box, Crashed',
      'database, Paused',
      'gateway, Running',
      'inner, Running',
      'core, Running',
      'notebook, Suspended',
      'sensor, Off, broken settings',
      'tiny, Off',
      'web-1, Running',
      'web-2, Running',
    ]);
    assert.equal(await window.row('inner').getAttribute('aria-level'), '2');
    assert.equal(await window.row('core').getAttribute('aria-level'), '3');
    assert.deepEqual(faults, []);
  });

  test('a double-click starts a machine and shows its console', async () => {
    await window.launch('tiny');
    await window.untilState('tiny', 'Running');
    await window.untilConsole(/tiny:~#/);
    await window.type('uname -a\n');
    await window.untilConsole(/7\.2\.1-nymph/);
  });

  test('a suspended machine goes on, and a clone of a snapshot stands beside it', async () => {
    await window.openMachine('notebook', 'Snapshots');
    await page.getByRole('button', { name: 'Take snapshot' }).click();
    await page.getByRole('row', { name: /^snapshot-3/ }).waitFor();
    await page.getByRole('button', { name: 'Delete fresh' }).click();
    await window.dialog('Delete the snapshot').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('row', { name: /^fresh/ }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Revert to after-setup' }).click();
    const asks = window.dialog('Revert “notebook” to “after-setup”?');
    await asks.getByText('are lost for good').waitFor();
    await asks.getByRole('button', { name: 'Revert' }).click();
    await asks.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Start a clone of after-setup' }).click();
    await window.untilState('notebook-2', 'Running');
    await window.openMachine('notebook');
    await window.press('Resume');
    await window.untilState('notebook', 'Running');
    await window.press('Suspend');
    await window.untilState('notebook', 'Suspended');
    assert.deepEqual(faults, []);
  });

  test('the console replays what was said before when it is opened again', async () => {
    await window.openMachine('gateway', 'Console');
    await window.untilConsole(/gateway:~#/);
    await window.type('uname -a\n');
    await window.untilConsole(/nymph #1/);
    await window.tab('Disks').click();
    await window.tab('Console').click();
    await window.untilConsole(/nymph #1/);
  });

  test('what the scrollback asks of a terminal is answered once, not at each replay', async () => {
    await window.openMachine('gateway', 'Console');
    await window.untilConsole(/gateway:~#/);
    await window.type('ask\n');
    await window.untilConsole(/^asked$/m);
    await window.type('\n');
    await window.untilConsole(/asked[^]*gateway:~#[^]*gateway:~#/);
    const before = server.api.typedBytes;
    assert.ok(before > 'ask\n\n'.length, 'the terminal answers what is asked now');
    for (let round = 0; round < 3; round += 1) {
      await window.tab('Disks').click();
      await window.tab('Console').click();
      await window.untilConsole(/^asked$/m);
    }
    await page.waitForTimeout(200);
    assert.equal(server.api.typedBytes, before);
    await window.type('uname -a\n');
    await window.untilConsole(/nymph #1/);
  });

  test('a flood of small pieces is drawn at once and the console answers after it', async () => {
    await window.openMachine('gateway', 'Console');
    await window.untilConsole(/gateway:~#/);
    await window.type('flood\n');
    await window.untilConsole(/piece 5999[^]*gateway:~#$/, 8000);
    await window.type('uname -a\n');
    await window.untilConsole(/7\.2\.1-nymph/);
  });

  test('the tree is worked by keys: arrows, a letter, Space to start, Enter to open', async () => {
    await window.row('build-box').focus();
    await page.keyboard.press('ArrowDown');
    const focused = await page.evaluate<string>('document.activeElement.dataset.machine');
    assert.equal(focused, 'm-database');
    await page.keyboard.press('t');
    await page.keyboard.press('Space');
    await window.untilState('tiny', 'Running');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'tiny' }).waitFor();
    await page.keyboard.press('Alt+3');
    await page.getByRole('cell', { name: 'root', exact: true }).waitFor();
  });

  test('a folded parent hides what runs inside it', async () => {
    await window.row('gateway').focus();
    await page.keyboard.press('ArrowLeft');
    assert.equal(await window.row('inner').count(), 0);
    assert.equal(await window.row('core').count(), 0);
    await page.keyboard.press('ArrowRight');
    assert.equal(await window.row('inner').count(), 1);
  });

  test('a machine that does not shut down offers force', async () => {
    await window.openMachine('web-2');
    await window.press('Stop');
    await window.toast('web-2 did not shut down in time.').waitFor();
    await window.press('Force off');
    await window.untilState('web-2', 'Off');
  });

  test('a refusal is told in its plain sentence and changes nothing', async () => {
    await window.newMachine({ name: 'tiny', start: false });
    await window.dialog('New machine').getByText('There is already a machine “tiny”.').waitFor();
  });

  test('from a dropped file to a booted machine are two clicks', async () => {
    await page.evaluate(`(() => {
      const files = new DataTransfer();
      files.items.add(new File([new Uint8Array([0x51, 0x46, 0x49, 0xfb])], 'Debian 13.qcow2'));
      for (const type of ['dragenter', 'dragover', 'drop']) {
        window.dispatchEvent(new DragEvent(type, { dataTransfer: files, cancelable: true }));
      }
    })()`);
    const sheet = window.dialog('Make a machine');
    await sheet.getByText('qcow2', { exact: true }).waitFor();
    await sheet.getByText('root', { exact: true }).waitFor();
    await sheet.getByRole('button', { name: 'Create and start' }).click();
    await window.untilState('debian-13', 'Running');
    await window.untilConsole(/debian-13:~#/);
  });

  test('a file that is no image is told what it is', async () => {
    await window.giveFile({ name: 'a.img', bytes: new TextEncoder().encode('hello') });
    await window.dialog('This does not boot here').getByText('This is a text file').waitFor();
  });

  test('a cable drawn on the canvas connects, and Delete pulls it', async () => {
    await window.goTo('Networks');
    const tiny = page.getByLabel('Machine tiny', { exact: true });
    await tiny.waitFor();
    await page.waitForTimeout(300);
    const from = (await tiny.locator('.svelte-flow__handle').boundingBox())!;
    const to = (await page.getByLabel('LAN lab', { exact: true }).boundingBox())!;
    await page.mouse.move(from.x + from.width / 2, from.y + from.height / 2);
    await page.mouse.down();
    await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 8 });
    await page.mouse.up();
    const cable = page.getByLabel('Cable from tiny to lab');
    await cable.waitFor({ state: 'attached' });
    await cable.focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Delete');
    await cable.waitFor({ state: 'detached' });
  });

  test('what was done to the wiring can be undone and done again', async () => {
    await window.goTo('Networks');
    const undo = page.getByRole('button', { name: /^Undo/ });
    assert.ok(await undo.isDisabled());
    await page.getByLabel('Connect a machine to lab').selectOption({ label: 'tiny' });
    const cable = page.getByLabel('Cable from tiny to lab');
    await cable.waitFor({ state: 'attached' });
    await page.getByRole('heading', { level: 1 }).focus();
    await page.keyboard.press('Control+Z');
    await cable.waitFor({ state: 'detached' });
    await page.keyboard.press('Control+Shift+Z');
    await cable.waitFor({ state: 'attached' });
    await page.getByRole('button', { name: 'Undo connecting tiny to lab' }).click();
    await cable.waitFor({ state: 'detached' });
    assert.ok(await undo.isDisabled());
  });

  test('a machine that was moved stands there in every window, and goes back', async () => {
    await window.goTo('Networks');
    const node = page.locator('.svelte-flow__node[data-id="machine:m-tiny"]');
    await node.waitFor();
    await page.waitForTimeout(300);
    const box = (await node.boundingBox())!;
    await page.mouse.move(box.x + 60, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + 120, box.y + 90, { steps: 8 });
    await page.mouse.up();
    await page.getByRole('button', { name: 'Undo moving tiny' }).waitFor();
    const other = await page.context().newPage();
    await other.goto(`${server.url}#/networks`);
    const twin = other.locator('.svelte-flow__node[data-id="machine:m-tiny"]');
    await twin.waitFor();
    const placeOf = async (each: Locator) =>
      /translate\([^)]*\)/.exec((await each.getAttribute('style')) ?? '')?.[0];
    const moved = await placeOf(twin);
    assert.equal(moved, await placeOf(node));
    await page.getByRole('button', { name: 'Undo moving tiny' }).click();
    await page.getByRole('button', { name: 'Redo moving tiny' }).waitFor();
    await other.waitForTimeout(300);
    assert.notEqual(await placeOf(twin), moved);
  });

  test('the list beside the canvas does the same', async () => {
    await window.goTo('Networks');
    await page.getByLabel('Connect a machine to lab').selectOption({ label: 'tiny' });
    const pull = page.getByRole('button', { name: 'Disconnect tiny from lab' });
    await pull.click();
    await pull.waitFor({ state: 'detached' });
  });

  test('a double-click on the empty canvas makes a LAN there', async () => {
    await window.goTo('Networks');
    await page.getByLabel('LAN lab', { exact: true }).waitFor();
    const area = (await page.getByRole('application', { name: 'Network canvas' }).boundingBox())!;
    await page.mouse.dblclick(area.x + area.width - 60, area.y + 40);
    await window.dialog('New LAN').getByRole('button', { name: 'Create' }).click();
    await page.getByLabel('LAN lan', { exact: true }).waitFor();
  });

  test('the page of a LAN shows what each port moves, and opens a row to its graph', async () => {
    await window.openLan('lab');
    const row = page.getByRole('row', { name: /^Graph of gateway/ });
    await row.getByText(/[1-9].* [KM]iB\/s/).first().waitFor();
    await page.getByRole('button', { name: 'Graph of gateway' }).click();
    await page.getByRole('img', { name: /^gateway: received [1-9]/ }).waitFor();
    await page.getByLabel('Connect a machine to lab').selectOption({ label: 'tiny' });
    await page.getByRole('link', { name: 'tiny', exact: true }).waitFor();
    await page.getByRole('switch', { name: 'DHCP' }).click();
    await page.getByRole('switch', { name: 'DHCP', checked: false }).waitFor();
  });

  test('broken settings point at their line and can be mended as text', async () => {
    await window.openMachine('sensor', 'Settings');
    const text = page.getByRole('textbox', { name: 'machine.yaml' });
    await text.waitFor();
    await text.press('End');
    await page.keyboard.type(' ');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Line 7, column 1').waitFor();
    await text.fill((await text.inputValue()).replace('memroy', 'memory'));
    await page.getByRole('button', { name: 'Save' }).click();
    await window.toast('machine.yaml is saved.').waitFor();
    assert.equal(await window.row('sensor').getAttribute('aria-label'), 'sensor, Off');
  });

  test('what a running machine takes over later says so', async () => {
    await window.openMachine('gateway', 'Settings');
    await page.getByLabel('Memory in MiB').fill('2048');
    await page.getByText('Takes effect at next start').waitFor();
    await page.getByRole('button', { name: 'Save' }).click();
    await window.toast('Saved.').waitFor();
    await page.getByText('Takes effect at next start').waitFor();
  });

  test('several lines are pasted only after asking', async () => {
    await window.openMachine('gateway', 'Console');
    await window.untilConsole(/gateway:~#/);
    await page.evaluate(`navigator.clipboard.writeText('one\\ntwo\\n')`);
    await page.keyboard.press('Control+Shift+V');
    await window.dialog(/Paste 2 lines/).getByRole('button', { name: 'Cancel' }).click();
    assert.doesNotMatch(await window.consoleText(), /one/);
    await page.keyboard.press('Control+Shift+V');
    await window.dialog(/Paste 2 lines/).getByRole('button', { name: 'Paste' }).click();
    await window.untilConsole(/one: not found/);
  });

  test('a machine goes to the Trash and comes back', async () => {
    await window.menu('tiny', 'Move to Trash');
    await window.row('tiny').waitFor({ state: 'detached' });
    await window.goTo('Trash');
    await page.getByRole('button', { name: 'Recover tiny' }).click();
    await window.row('tiny').waitFor();
  });

  test('a machine that is off can be exported, and the file is named', async () => {
    await window.row('web-1').click({ button: 'right' });
    await page.getByRole('menuitem', { name: 'Move to Trash' }).waitFor();
    assert.equal(await page.getByRole('menuitem', { name: 'Export to a file' }).count(), 0);
    await page.keyboard.press('Escape');
    await window.menu('tiny', 'Export to a file');
    await window.toast(/Export tiny: it is .*\.nymph/).waitFor();
  });

  test('a running machine is thrown away only after asking', async () => {
    await window.menu('web-1', 'Move to Trash');
    await window.dialog(/Move the running machine/).getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await window.row('web-1').count(), 1);
  });

  test('the palette finds a command by a part of its name', async () => {
    await page.keyboard.press('Control+K');
    await page.getByRole('combobox', { name: 'Command or machine' }).fill('kern');
    await page.getByRole('option', { name: 'Kernels' }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Kernels' }).waitFor();
  });

  test('a machine inside another is made from its menu, and stands under it', async () => {
    await window.menu('gateway', 'New machine inside…');
    const sheet = window.dialog('New machine inside gateway');
    assert.equal(await sheet.getByLabel('Network').inputValue(), 'lab');
    await sheet.getByLabel('Name').fill('child');
    await sheet.getByRole('button', { name: 'Create and start' }).click();
    await window.untilState('child', 'Running');
    assert.equal(await window.row('child').getAttribute('aria-level'), '2');
  });

  test('an image dragged onto a running machine becomes one inside it', async () => {
    await window.goTo('Images');
    const image = page.getByRole('row', { name: /Tiny Linux/ }).first();
    await image.dragTo(window.row('gateway'));
    await window.dialog('New machine inside gateway').waitFor();
  });

  test('stopping a machine asks for those inside it, and then stops them too', async () => {
    await window.openMachine('gateway');
    await window.press('Stop');
    const question = window.dialog('Stop “gateway” and what runs inside it?');
    await question.getByText('inner, core will shut down first').waitFor();
    await question.getByRole('button', { name: 'Stop all' }).click();
    await window.untilState('inner', 'Off');
    await window.untilState('gateway', 'Off');
  });

  test('a job shows its progress and can be cancelled [own start]', async () => {
    await fresh({ stepMs: 500 });
    await window.palette('Build the vkernel');
    await window.goTo('Kernels');
    await page.getByRole('main').getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: /^Jobs/ }).click();
    await page.locator('.jobs').getByText(/Cancelled/).first().waitFor();
  });

  test('the window comes back by itself when the server does', async () => {
    await window.openMachine('gateway', 'Console');
    await window.untilConsole(/gateway:~#/);
    const { port } = new URL(server.url);
    await server.close();
    await page.getByText('The server is away.').waitFor();
    server = await serveFake({ stepMs: 20, port: Number(port) });
    await page.getByText('The server is away.').waitFor({ state: 'detached' });
    await window.type('uname -a\n');
    await window.untilConsole(/7\.2\.1-nymph/);
  });

  test('a console has a window of its own', async () => {
    await page.goto(`${server.url}?console=gateway:1`);
    await window.untilConsole(/gateway:~#/);
    assert.equal(await page.title(), 'gateway: console 1');
  });

  test('with no machines it teaches the first step [own start]', async () => {
    await fresh({ empty: true });
    await page.getByText('No machines yet.').waitFor();
    await page.getByRole('button', { name: 'Bring a disk image' }).waitFor();
  });

  for (const dark of [false, true]) {
    const name = `axe finds nothing on any page, ${dark ? 'dark' : 'light'} [own start]`;
    test(name, async () => {
      await fresh({ dark });
      const found: string[] = [];
      for await (const stop of walk(window)) {
        for (const { id, nodes } of await axe(page)) {
          found.push(`${stop.name}: ${id}: ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
        }
      }
      assert.deepEqual(found, []);
      assert.deepEqual(faults, []);
    });
  }
});

async function axe(page: Page): Promise<Violation[]> {
  const script = `${axeSource};axe.run(document, { resultTypes: ['violations'] })
    .then(({ violations }) => violations)`;
  return page.evaluate<Violation[]>(script);
}
