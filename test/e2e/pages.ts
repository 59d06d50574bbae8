/**
 * Page models: how a person reaches each page and dialog of the window, as functions. A test says
 * `const window = new NymphWindow(page)` and then what it does, never a selector.
 *
 * `walk(window)` yields every page and dialog in turn, for screenshots and for axe; what a state
 * of the server cannot show (no machine has crashed, say) is left out.
 */
import type { Locator, Page } from 'playwright-core';

export type MachineTab =
  | 'Overview'
  | 'Console'
  | 'Disks'
  | 'Snapshots'
  | 'Network'
  | 'Settings'
  | 'Log';
export type Place = 'Networks' | 'Images' | 'Kernels' | 'Trash' | 'Host & settings';

/**
 * How to start the browser: quiet, without WebGL (so that a terminal's rows are in the page), and
 * without its own sandbox, which does not work for root. For tests only.
 */
export const browserArgs = [
  '--no-sandbox',
  '--disable-3d-apis',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export class NymphWindow {
  readonly page: Page;

  constructor(page: Page) {
    this.page = page;
  }

  /** Opens the window at an address and waits until it has its first snapshot. */
  async open(url: string): Promise<void> {
    await this.page.goto(url);
    await this.ready();
  }

  async ready(): Promise<void> {
    await this.page.getByRole('tree', { name: 'Machines' }).waitFor({ state: 'attached' });
    await this.page.locator('.cards, .machine, .page').first().waitFor();
  }

  row(machine: string): Locator {
    return this.page.getByRole('treeitem', { name: new RegExp(`^${machine},`) });
  }

  /** The word for its state, as the list says it: Off, Starting, Running, … */
  async state(machine: string): Promise<string> {
    const label = (await this.row(machine).getAttribute('aria-label')) ?? '';
    return label.split(', ')[1] ?? '';
  }

  async untilState(machine: string, word: string, timeoutMs = 30_000): Promise<void> {
    await this.page
      .getByRole('treeitem', { name: new RegExp(`^${machine}, ${word}`) })
      .waitFor({ timeout: timeoutMs });
  }

  async openMachine(machine: string, tab?: MachineTab): Promise<void> {
    await this.row(machine).click();
    await this.page.getByRole('heading', { level: 1, name: machine, exact: true }).waitFor();
    if (tab) await this.tab(tab).click();
  }

  tab(tab: MachineTab): Locator {
    return this.page.getByRole('tablist', { name: /^Views of/ }).getByRole('tab', { name: tab });
  }

  /** Starts it and shows its console, as a double-click does. */
  async launch(machine: string): Promise<void> {
    await this.row(machine).dblclick();
  }

  /** A button of the machine page's header: Start, Stop, Pause, Reset, Force off, Resume. */
  async press(button: string): Promise<void> {
    const main = this.page.getByRole('main');
    await main.getByRole('button', { name: button, exact: true }).first().click();
  }

  async menu(machine: string, item: string): Promise<void> {
    await this.row(machine).click({ button: 'right' });
    await this.page.getByRole('menuitem', { name: item }).click();
  }

  async goTo(place: Place): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Places' }).getByRole('link', { name: place })
      .click();
    await this.page.getByRole('heading', { level: 1, name: place }).waitFor();
  }

  async openLan(name: string): Promise<void> {
    await this.goTo('Networks');
    await this.page.getByRole('main').getByRole('link', { name, exact: true }).click();
    await this.page.getByRole('heading', { level: 1, name }).waitFor();
  }

  async palette(command?: string): Promise<void> {
    await this.page.getByRole('button', { name: /^Commands/ }).click();
    if (!command) return;
    await this.page.getByRole('combobox', { name: 'Command or machine' }).fill(command);
    await this.page.keyboard.press('Enter');
  }

  dialog(name: string | RegExp): Locator {
    return this.page.getByRole('dialog', { name });
  }

  async closeDialog(): Promise<void> {
    await this.page.keyboard.press('Escape');
    await this.page.locator('dialog[open]').waitFor({ state: 'detached' });
  }

  async newMachine(wish: { image?: string; name?: string; start?: boolean } = {}): Promise<void> {
    await this.page.getByRole('button', { name: 'New machine' }).first().click();
    const sheet = this.dialog('New machine');
    if (wish.image) await sheet.getByLabel('Image').selectOption(wish.image);
    if (wish.name) await sheet.getByLabel('Name').fill(wish.name);
    const button = wish.start === false ? 'Create' : 'Create and start';
    await sheet.getByRole('button', { name: button, exact: true }).click();
  }

  /** The same as dropping: hands a file to the window. */
  async giveFile(file: { name: string; bytes: Uint8Array } | string): Promise<void> {
    const files = typeof file === 'string'
      ? file
      : { name: file.name, mimeType: 'application/octet-stream', buffer: Buffer.from(file.bytes) };
    await this.page.locator('#file-picker').setInputFiles(files);
  }

  /** The rows of the terminal in sight. They are in the page only where WebGL is off. */
  async consoleText(): Promise<string> {
    const rows = await this.page.locator('.xterm-rows > div').allTextContents();
    return rows.map((row) => row.replaceAll('\u00a0', ' ').trimEnd()).join('\n').trimEnd();
  }

  async type(text: string): Promise<void> {
    await this.page.locator('.xterm-helper-textarea').first().focus();
    await this.page.keyboard.type(text);
  }

  async untilConsole(wanted: RegExp, timeoutMs = 30_000): Promise<string> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const text = await this.consoleText();
      if (wanted.test(text)) return text;
      if (performance.now() > end) throw new Error(`The console never showed ${wanted}:\n${text}`);
      await this.page.waitForTimeout(50);
    }
  }

  toast(text: string | RegExp): Locator {
    return this.page.getByRole('region', { name: 'Messages' }).getByText(text);
  }

  async theme(theme: 'System' | 'Light' | 'Dark'): Promise<void> {
    await this.goTo('Host & settings');
    await this.page.getByRole('radiogroup', { name: 'Theme' }).getByText(theme).click();
  }
}

export type Stop = { name: string };

/** Every page and dialog, one after the other. */
export async function* walk(window: NymphWindow): AsyncGenerator<Stop> {
  const { page } = window;
  await page.goto(new URL('#/', page.url()).href);
  await page.locator('.home').waitFor();
  yield { name: 'home' };
  const names = await machineNames(window);
  yield* walkMachines(window, names);
  for (const place of ['Networks', 'Images', 'Kernels', 'Trash', 'Host & settings'] as const) {
    await window.goTo(place);
    await page.waitForTimeout(500);
    yield { name: place.split(' ')[0]!.toLowerCase() };
  }
  await walkLan(window);
  yield { name: 'lan' };
  yield* walkDialogs(window);
}

async function walkLan(window: NymphWindow): Promise<void> {
  await window.openLan('lab');
  await window.page.getByRole('button', { name: /^Graph of/ }).first().click();
  await window.page.waitForTimeout(2500);
}

async function machineNames(window: NymphWindow): Promise<Map<string, string>> {
  const byState = new Map<string, string>();
  for (const row of await window.page.getByRole('treeitem').all()) {
    const [name = '', ...rest] = ((await row.getAttribute('aria-label')) ?? '').split(', ');
    for (const word of rest) if (!byState.has(word)) byState.set(word, name);
  }
  return byState;
}

async function* walkMachines(
  window: NymphWindow,
  names: Map<string, string>,
): AsyncGenerator<Stop> {
  const { page } = window;
  const running = names.get('Running');
  for (const tab of ['Overview', 'Console', 'Disks', 'Network', 'Settings', 'Log'] as const) {
    if (!running) break;
    await window.openMachine(running, tab);
    await page.waitForTimeout(600);
    yield { name: `machine-${tab.toLowerCase()}` };
    if (tab !== 'Settings') continue;
    await page.getByText('machine.yaml', { exact: true }).first().click();
    await page.waitForTimeout(300);
    yield { name: 'machine-settings-text' };
  }
  const asleep = names.get('Suspended');
  if (asleep) {
    await window.openMachine(asleep, 'Snapshots');
    yield { name: 'machine-snapshots' };
  }
  for (const word of ['Off', 'Crashed', 'Paused', 'Suspended', 'broken settings']) {
    const name = names.get(word);
    if (!name) continue;
    await window.openMachine(name, 'Overview');
    await page.waitForTimeout(300);
    yield { name: `machine-${word.split(' ')[0]!.toLowerCase()}` };
  }
}

async function* walkDialogs(window: NymphWindow): AsyncGenerator<Stop> {
  const { page } = window;
  await window.palette();
  yield { name: 'palette' };
  await window.closeDialog();
  await window.palette('Keyboard shortcuts');
  yield { name: 'shortcuts' };
  await window.closeDialog();
  await window.palette('Quit Nymph');
  yield { name: 'quit' };
  await window.closeDialog();
  await page.getByRole('button', { name: 'New machine' }).first().click();
  yield { name: 'new-machine' };
  await window.closeDialog();
  await page.getByRole('treeitem').first().click({ button: 'right' });
  await page.getByRole('menu').waitFor();
  yield { name: 'context-menu' };
  await page.keyboard.press('Escape');
  await window.giveFile({ name: 'notes.txt', bytes: new TextEncoder().encode('no image\n') });
  await window.dialog('This does not boot here').waitFor();
  yield { name: 'import-refused' };
  await window.closeDialog();
  await page.getByRole('button', { name: /^Jobs/ }).click();
  await page.locator('.jobs').waitFor();
  yield { name: 'jobs' };
  await page.keyboard.press('Escape');
}
