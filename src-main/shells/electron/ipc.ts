/**
 * The only way from a page into this process besides its port: each channel names the form of its
 * argument and of its answer, and a sender that is not the main frame of a page of ours is
 * refused before anything is read.
 */
import { ipcMain, type IpcMainEvent, type IpcMainInvokeEvent, type WebContents } from 'electron';
import { z } from 'zod';
import { isAllowedSender } from '../security.ts';
import { portChannel } from './port-channel.ts';
import type { Channel } from '../../rpc/wire.ts';

export function handle<A extends z.ZodType, R extends z.ZodType>(
  channel: string,
  argument: A,
  answer: R,
  act: (given: z.output<A>, page: WebContents) => Promise<z.input<R>> | z.input<R>,
): void {
  ipcMain.handle(channel, async (event, given: unknown) => {
    mustBeOurs(event);
    return answer.parse(await act(argument.parse(given), event.sender));
  });
}

/** Calls back with a channel for each port that a page of ours sends. */
export function handlePorts(take: (channel: Channel, page: WebContents) => void): void {
  ipcMain.on('port', (event) => {
    mustBeOurs(event);
    const port = event.ports[0];
    if (port && event.ports.length === 1) take(portChannel(port), event.sender);
  });
}

function mustBeOurs(event: IpcMainEvent | IpcMainInvokeEvent): void {
  const frame = event.senderFrame;
  const seen = frame && { url: frame.url, isMainFrame: frame === event.sender.mainFrame };
  if (!isAllowedSender(seen)) throw new Error('This page may not ask.');
}
