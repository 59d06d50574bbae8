/**
 * The menu: what every desktop expects (edit, zoom, windows) and nothing of the app's own, which
 * lives in the page and its command palette. Developer tools exist only in a checkout.
 */
import { app, Menu, type MenuItemConstructorOptions } from 'electron';

export function setMenu(openMain: () => void): void {
  const isMac = process.platform === 'darwin';
  const view: MenuItemConstructorOptions[] = [
    { role: 'resetZoom' },
    { role: 'zoomIn' },
    { role: 'zoomOut' },
    { type: 'separator' },
    { role: 'togglefullscreen' },
  ];
  if (!app.isPackaged) view.push({ type: 'separator' }, { role: 'toggleDevTools' });
  const file: MenuItemConstructorOptions[] = [
    { label: 'Open Nymph', accelerator: 'CmdOrCtrl+Shift+N', click: openMain },
    { role: 'close' },
  ];
  if (!isMac) file.push({ type: 'separator' }, { role: 'quit' });
  const menu: MenuItemConstructorOptions[] = [
    { label: 'File', submenu: file },
    { role: 'editMenu' },
    { label: 'View', submenu: view },
    { role: 'windowMenu' },
  ];
  if (isMac) menu.unshift({ role: 'appMenu' });
  Menu.setApplicationMenu(Menu.buildFromTemplate(menu));
}
