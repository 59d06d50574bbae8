/**
 * What no page may do, set on the session and on every page that is ever made: leave the app,
 * open windows, attach webviews, get a permission or a device.
 */
import { app, dialog, session, shell, type BrowserWindow } from 'electron';
import { isAllowedExternal, isAllowedNavigation, isAllowedPermission } from '../security.ts';

export function guardSession(): void {
  const own = session.defaultSession;
  own.setPermissionRequestHandler((_page, permission, answer, details) => {
    answer(isAllowedPermission(permission, details.requestingUrl));
  });
  own.setPermissionCheckHandler((_page, permission, origin) =>
    isAllowedPermission(permission, origin),
  );
  own.setDevicePermissionHandler(() => false);
  own.setDisplayMediaRequestHandler((_request, answer) => answer({}));
  own.on('will-download', (event) => event.preventDefault());
}

export function guardPages(): void {
  app.on('web-contents-created', (_event, page) => {
    page.on('will-navigate', (event) => {
      if (!isAllowedNavigation(event.url)) event.preventDefault();
    });
    page.on('will-redirect', (event) => {
      if (!isAllowedNavigation(event.url)) event.preventDefault();
    });
    page.on('will-frame-navigate', (event) => {
      if (!event.isMainFrame || !isAllowedNavigation(event.url)) event.preventDefault();
    });
    page.on('will-attach-webview', (event) => event.preventDefault());
    page.setWindowOpenHandler(() => ({ action: 'deny' }));
  });
}

/** Opens an https address in the user's browser after showing it whole. */
export async function openExternal(window: BrowserWindow, address: string): Promise<void> {
  if (!isAllowedExternal(address)) return;
  const { response } = await dialog.showMessageBox(window, {
    type: 'question',
    message: 'Open this address in your browser?',
    detail: address,
    buttons: ['Open', 'Cancel'],
    defaultId: 1,
    cancelId: 1,
  });
  if (response === 0) await shell.openExternal(address);
}
