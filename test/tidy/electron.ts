/**
 * Rules of the Electron checklist that can be read off the sources: no Electron outside its
 * shell, no raw HTML in components, no escape hatch of the web page's confinement.
 */
import { matches, type Fault, type Source } from './house.ts';

const shell = 'src-main/shells/electron/';
const factory = `${shell}window.ts`;

export function electronFaults(house: Source[]): Fault[] {
  return [
    ...outsideShell(house),
    ...rawHtml(house),
    ...holes(house),
    ...windowsElsewhere(house),
    ...rawIpc(house),
  ];
}

/** 15: `electron` is imported by its shell alone. */
export function outsideShell(house: Source[]): Fault[] {
  return house.flatMap(({ path, imports }) =>
    imports
      .filter(({ specifier }) => /^electron(\/|$)/.test(specifier) && !path.startsWith(shell))
      .map(({ line }) => `${path}:${line}: electron outside its shell`),
  );
}

/** 3, 9: text of guests and users is never HTML. */
export function rawHtml(house: Source[]): Fault[] {
  const ways = new RegExp(
    [
      '\\{@html|\\.(innerHTML|outerHTML)\\s*=|insertAdjacentHTML|document\\.write\\b',
      '\\beval\\(|new Function\\(',
    ].join('|'),
    'g',
  );
  return house
    .filter(({ path }) => path.startsWith('src-renderer/'))
    .flatMap(({ path, text }) => matches(path, text, ways, 'raw HTML or code from text: $&'));
}

/** 1, 2, 5, 6, 14: settings and calls that open the page's confinement, wherever they stand. */
export function holes(house: Source[]): Fault[] {
  const open = new RegExp(
    [
      'nodeIntegration\\w*:\\s*true|contextIsolation:\\s*false|sandbox:\\s*false',
      'webSecurity:\\s*false|webviewTag:\\s*true|allowRunningInsecureContent:\\s*true',
      'experimentalFeatures:\\s*true|bypassCSP:\\s*true|remote-debugging-port',
      'shell\\.openPath|shell\\.openItem|openDevTools|<webview|unsafe-eval',
    ].join('|'),
    'g',
  );
  return house
    .filter(({ path }) => path.startsWith(shell) || path.startsWith('src-renderer/'))
    .flatMap(({ path, text }) => matches(path, text, open, 'opens the confinement: $&'));
}

/** 1: windows are made by one factory. */
export function windowsElsewhere(house: Source[]): Fault[] {
  return house
    .filter(({ path }) => path.startsWith(shell) && path !== factory)
    .flatMap(({ path, code }) =>
      matches(path, code, /new (BrowserWindow|WebContentsView|BaseWindow)\b/g, '$& elsewhere'),
    );
}

/** 7: no raw `ipcMain.handle` outside the one wrapper, no `ipcRenderer` handed to the page. */
export function rawIpc(house: Source[]): Fault[] {
  return house
    .filter(({ path }) => path.startsWith(shell))
    .flatMap(({ path, code }) => {
      const faults: Fault[] = [];
      if (path !== `${shell}ipc.ts`) {
        faults.push(...matches(path, code, /\bipcMain\b/g, 'IPC past the wrapper: $&'));
      }
      if (!path.endsWith('/preload.ts')) {
        faults.push(...matches(path, code, /\bipcRenderer\b/g, '$& outside the preload'));
      }
      return [...faults, ...matches(path, code, /ipcRenderer\s*[,}]\s*\)/g, 'hands over $&')];
    });
}
