/**
 * The one place where windows are made: the main window and pop-outs of a console, both with the
 * same confinement. A page that crashes is loaded again (a few times); machines never notice.
 */
import { BrowserWindow, nativeTheme } from 'electron';
import { appOrigin, windowPreferences } from '../security.ts';

const reloadsMax = 3;

/** @param route a console's `machine:number`; the whole app when absent. */
export function openWindow(preload: string, route?: string): BrowserWindow {
  const window = new BrowserWindow({
    width: route ? 860 : 1240,
    height: route ? 560 : 820,
    minWidth: route ? 320 : 760,
    minHeight: route ? 200 : 520,
    show: false,
    title: route ? `${route.replace(/:.*/, '')} · Nymph` : 'Nymph',
    backgroundColor: nativeTheme.shouldUseDarkColors ? '#141517' : '#fbfbfa',
    autoHideMenuBar: true,
    webPreferences: windowPreferences(preload),
  });
  window.once('ready-to-show', () => window.show());
  let reloads = 0;
  window.webContents.on('render-process-gone', (_event, { reason }) => {
    if (reason === 'clean-exit' || ++reloads > reloadsMax) return;
    window.webContents.reload();
  });
  const query = route ? `?console=${encodeURIComponent(route)}` : '';
  void window.loadURL(`${appOrigin}/${query}`);
  return window;
}
