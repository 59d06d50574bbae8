/**
 * All that a page may reach of Electron: one port to the server, a grant for a dropped file, a
 * pop-out, a link, and being told of a quit or an opened file. No channel of Electron itself.
 */
import { contextBridge, ipcRenderer, webUtils } from 'electron';

contextBridge.exposeInMainWorld('nymph', {
  /** The port arrives in this window as a `message` event. */
  connect(): void {
    const { port1, port2 } = new MessageChannel();
    ipcRenderer.postMessage('port', null, [port2]);
    window.postMessage('nymph', window.location.origin, [port1]);
  },
  pathFor(file: File): Promise<string> {
    return ipcRenderer.invoke('grant', webUtils.getPathForFile(file));
  },
  popOut(route: string): void {
    void ipcRenderer.invoke('pop-out', route);
  },
  openLink(address: string): void {
    void ipcRenderer.invoke('open-link', address);
  },
  onQuit(listener: () => void): void {
    ipcRenderer.on('quit-asked', () => listener());
  },
  onOpen(listener: (file: { grant: string; title: string }) => void): void {
    ipcRenderer.on('file-opened', (_event, file) => listener(file));
  },
});
