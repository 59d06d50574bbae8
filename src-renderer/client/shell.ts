/**
 * What only the shell around the page can do: windows of their own and addresses in a browser.
 */
import { electronBridge } from './electron.ts';

/** Opens a console in its own window; `route` is `machine:console`. */
export function popOut(route: string): void {
  const bridge = electronBridge();
  if (bridge?.popOut) return bridge.popOut(route);
  const address = `${location.pathname}?console=${encodeURIComponent(route)}`;
  window.open(address, '', 'popup,width=860,height=560');
}

export function openLink(address: string): void {
  const { protocol } = new URL(address);
  if (protocol !== 'https:' && protocol !== 'http:') return;
  const bridge = electronBridge();
  if (bridge?.openLink) return bridge.openLink(address);
  window.open(address, '_blank', 'noopener,noreferrer');
}

export function onQuitAsked(listener: () => void): void {
  electronBridge()?.onQuit?.(listener);
}

/** Files that were opened with the app and not dropped on the window. */
export function onFileOpened(listener: (file: { grant: string; title: string }) => void): void {
  electronBridge()?.onOpen?.(listener);
}
