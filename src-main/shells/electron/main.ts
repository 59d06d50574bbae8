/**
 * Nymph as an Electron app: one process with the server in it, one port for each window, nothing
 * of Electron past this folder. Started from a checkout by `npm start`, or as the packaged app.
 *
 * Quitting with machines running asks first: in the page where one is open, else in a dialog.
 */
import { join } from 'node:path';
import { app, BrowserWindow, dialog } from 'electron';
import { z } from 'zod';
import { nymphPaths } from '../../app/node/paths.ts';
import { rendererDirectory } from '../../app/node/app.ts';
import { isConsoleRoute } from '../security.ts';
import { openBackend, type Backend } from './backend.ts';
import { bundleOf } from './bundle.ts';
import { guardPages, guardSession, openExternal } from './guards.ts';
import { handle, handlePorts } from './ipc.ts';
import { setMenu } from './menu.ts';
import { declareScheme, serveScheme } from './scheme.ts';
import { openWindow } from './window.ts';

const preload = join(import.meta.dirname, 'preload.cjs');
const text = z.string().min(1).max(4096);

let main: BrowserWindow | undefined;
let backend: Backend;
let quitAllowed = false;
/** Bundles named before the first window could be told. */
const waiting: string[] = [];

if (!app.requestSingleInstanceLock()) app.exit(0);
app.enableSandbox();
app.setPath('userData', join(nymphPaths(process.env).state, 'electron'));
declareScheme();
guardPages();
app.on('second-instance', (_event, argv, folder) => {
  showMain();
  openBundle(bundleOf(argv, folder));
});
app.on('open-file', (event, path) => {
  event.preventDefault();
  openBundle(path);
});
app.on('before-quit', (event) => {
  if (quitAllowed || !backend || backend.aliveCount() === 0) return;
  event.preventDefault();
  void askQuit();
});
app.on('will-quit', (event) => {
  if (quitAllowed || !backend) return;
  event.preventDefault();
  // Without machines there is nothing to ask, and the server still wants to close its doors.
  void backend.quit('leave').finally(leave);
});
app.on('window-all-closed', () => app.quit());
app.on('activate', showMain);
void app.whenReady().then(begin);

async function begin(): Promise<void> {
  guardSession();
  serveScheme(rendererDirectory().replaceAll('\\', '/'));
  setMenu(showMain);
  backend = await openBackend(leave);
  handlePorts((channel) => backend.serve(channel));
  handle('grant', text, text, (path) => backend.grant(path));
  handle('pop-out', text.refine(isConsoleRoute), z.void(), (route) => {
    openWindow(preload, route);
  });
  handle('open-link', text, z.void(), async (address, page) => {
    const window = BrowserWindow.fromWebContents(page);
    if (window) await openExternal(window, address);
  });
  showMain();
  openBundle(bundleOf(process.argv, process.cwd()));
}

function showMain(): void {
  if (!backend) return;
  if (main) return main.isMinimized() ? main.restore() : main.focus();
  main = openWindow(preload);
  main.on('close', (event) => {
    // The last window takes the app with it, so the question comes while it can still show it.
    const last = BrowserWindow.getAllWindows().length === 1;
    if (quitAllowed || !last || backend.aliveCount() === 0) return;
    event.preventDefault();
    void askQuit();
  });
  main.on('closed', () => (main = undefined));
  main.webContents.on('did-finish-load', () => waiting.splice(0).forEach(openBundle));
}

async function askQuit(): Promise<void> {
  if (main && !main.webContents.isCrashed()) {
    main.show();
    main.webContents.send('quit-asked');
    return;
  }
  const count = backend.aliveCount();
  const { response } = await dialog.showMessageBox({
    type: 'question',
    message: count === 1 ? 'One machine is running.' : `${count} machines are running.`,
    buttons: ['Leave running', 'Stop all', 'Cancel'],
    defaultId: 0,
    cancelId: 2,
  });
  if (response < 2) await backend.quit(response === 1 ? 'stop' : 'leave').finally(leave);
}

function leave(): void {
  quitAllowed = true;
  app.quit();
}

/** Hands a machine bundle to the page, which treats it as if it had been dropped there. */
function openBundle(path: string | undefined): void {
  if (path === undefined) return;
  if (!main || main.webContents.isLoading()) {
    if (waiting.length < 16) waiting.push(path);
    return;
  }
  const page = main.webContents;
  const title = path.split(/[\\/]/).at(-1)!;
  void backend.grant(path).then((grant) => page.send('file-opened', { grant, title }));
}
