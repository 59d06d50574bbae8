/**
 * Electron's security checklist (fifteen points), as far as the sources can tell. The policy
 * itself is tested in src-main/shells/security.test.ts, the fuses (8) in packaging; hostile
 * console bytes (9), images (10) and updates (13, there are none) are not of the shell.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { keeps, readHouse, source, type Source } from './house.ts';
import { holes, outsideShell, rawHtml, rawIpc, windowsElsewhere } from './electron.ts';

const house = readHouse();
const shell = 'src-main/shells/electron/';
const one = (path: string, text: string) => [source(path, text)];

/** All code of the shell, or of one of its files. */
function code(file?: string): string {
  const chosen = (part: Source) =>
    part.path.startsWith(shell) && (file === undefined || part.path === shell + file);
  const text = house.filter(chosen).map((part) => part.text).join('\n');
  assert.ok(text.length > 0, `${file ?? 'the shell'} is there`);
  return text;
}

suite('1: every window is confined', () => {
  test('windows are made by the factory alone', () => {
    assert.equal(windowsElsewhere(one(`${shell}main.ts`, 'new BrowserWindow({});\n')).length, 1);
    keeps(windowsElsewhere(house));
  });

  test('the factory uses the one set of preferences, and the sandbox is on for all', () => {
    assert.match(code('window.ts'), /webPreferences: windowPreferences\(preload\)/);
    assert.match(code('main.ts'), /app\.enableSandbox\(\)/);
  });

  test('nothing opens the confinement', () => {
    assert.equal(holes(one(`${shell}a.ts`, 'const a = { nodeIntegration: true };\n')).length, 1);
    assert.equal(holes(one(`${shell}a.ts`, 'const a = { webSecurity: false };\n')).length, 1);
    keeps(holes(house));
  });
});

test('2: the page comes from our own scheme, never from file:', () => {
  assert.match(code('scheme.ts'), /registerSchemesAsPrivileged/);
  assert.match(code('scheme.ts'), /protocol\.handle\(appScheme/);
  assert.match(code('scheme.ts'), /resolveAppPath\(root, request\.url\)/);
  assert.doesNotMatch(code(), /\.loadFile\(|file:\/\//);
});

suite('3: no HTML or code out of text', () => {
  test('raw HTML in a component is caught', () => {
    assert.equal(rawHtml(one('src-renderer/ui/A.svelte', '<p>{@html a}</p>\n')).length, 1);
    assert.equal(rawHtml(one('src-renderer/ui/a.ts', 'a.innerHTML = b;\n')).length, 1);
    keeps(rawHtml(house));
  });

  test('every answer of the scheme has the policy, errors too', () => {
    const answers = code('scheme.ts').match(/new Response\([^;]*headers/g) ?? [];
    assert.equal(answers.length, (code('scheme.ts').match(/new Response/g) ?? []).length);
  });

  test('the page itself has no inline script', () => {
    const page = house.find(({ path }) => path === 'src-renderer/index.html');
    assert.ok(page);
    for (const [, attributes] of page.text.matchAll(/<script\b([^>]*)>/g)) {
      assert.match(attributes!, /\bsrc=/);
    }
    assert.doesNotMatch(page.text, /\son[a-z]+=/);
  });
});

test('4: all four permission handlers are set', () => {
  for (const name of ['PermissionRequest', 'PermissionCheck', 'DevicePermission']) {
    assert.match(code('guards.ts'), new RegExp(`set${name}Handler\\(`));
  }
  assert.match(code('guards.ts'), /setDisplayMediaRequestHandler\(/);
});

test('5: every way out of the page is guarded, on every page', () => {
  for (const event of ['navigate', 'redirect', 'frame-navigate', 'attach-webview']) {
    assert.match(code('guards.ts'), new RegExp(`'will-${event}'`));
  }
  assert.match(code('guards.ts'), /'web-contents-created'/);
  assert.match(code('guards.ts'), /setWindowOpenHandler\(\(\) => \(\{ action: 'deny' \}\)\)/);
});

test('6: a link is opened after its check and a question, in one place', () => {
  assert.equal(code().match(/shell\.openExternal\(/g)?.length, 1);
  const order = /isAllowedExternal\(address\)[^]*showMessageBox[^]*openExternal\(address\)/;
  assert.match(code('guards.ts'), order);
});

suite('7: one wrapper for what a page may ask', () => {
  test('IPC past it, or handed to the page, is caught', () => {
    assert.equal(rawIpc(one(`${shell}main.ts`, "ipcMain.handle('x', f);\n")).length, 1);
    assert.equal(rawIpc(one(`${shell}window.ts`, 'ipcRenderer.send();\n')).length, 1);
    assert.equal(rawIpc(one(`${shell}preload.ts`, 'expose("x", { ipcRenderer });\n')).length, 1);
    keeps(rawIpc(house));
  });

  test('each handler checks its sender before it reads', () => {
    const ways = code('ipc.ts').match(/ipcMain\.(handle|on)\([^]*?mustBeOurs\(event\);/g) ?? [];
    assert.equal(ways.length, 2);
    assert.match(code('ipc.ts'), /answer\.parse\(await act\(argument\.parse\(given\)/);
  });

  test('the preload is short, and gives the page no channel of Electron', () => {
    const preload = code('preload.ts');
    assert.ok(preload.split('\n').length <= 41);
    assert.match(preload, /webUtils\.getPathForFile/);
    assert.doesNotMatch(preload, /:\s*ipcRenderer\b|\{\s*ipcRenderer\s*\}\s*\)/);
  });
});

test('11: no listener on the network, and the socket is the user’s own', () => {
  assert.doesNotMatch(code(), /createServer|\.listen\(/);
  const server = house.find(({ path }) => path === 'src-main/shells/headless/server.ts');
  assert.match(server!.text, /chmodSync\(paths\.socket, 0o600\)/);
});

test('12: one instance, and what a command line names is only ever a bundle', () => {
  assert.match(code('main.ts'), /requestSingleInstanceLock\(\)/);
  assert.match(code('main.ts'), /bundleOf\(argv, folder\)/);
});

test('14: developer tools only in a checkout; a crashed page is loaded again, a few times', () => {
  assert.match(code('menu.ts'), /!app\.isPackaged\) view\.push\([^)]*toggleDevTools/);
  assert.match(code('window.ts'), /render-process-gone/);
  assert.match(code('window.ts'), /reloadsMax/);
});

suite('15: Electron stays in its shell', () => {
  test('an import elsewhere is caught', () => {
    assert.equal(outsideShell(one('src-main/app/a.ts', "import 'electron';\n")).length, 1);
    keeps(outsideShell(house));
  });

  test('its version is pinned', () => {
    const manifest = house.find(({ path }) => path === 'package.json')!;
    assert.match(manifest.text, /"electron": "\d+\.\d+\.\d+"/);
  });
});
