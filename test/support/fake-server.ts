/**
 * Serves the built window and the fake backend on one loopback port, with the content policy that
 * the real server sends: `node test/support/fake-server.ts [PORT] [--empty] [--fast]`.
 * Test equipment; never shipped.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer, type WebSocket } from 'ws';
import { Connection } from '../../src-main/rpc/server.ts';
import type { Channel } from '../../src-main/rpc/wire.ts';
import { FakeApi } from './fake-api.ts';
import { reportOf } from './fake-data.ts';

export const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const root = fileURLToPath(new URL('../../dist/renderer', import.meta.url));
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
};

export type FakeServer = { url: string; api: FakeApi; close(): Promise<void> };

export async function serveFake(
  options: { port?: number; empty?: boolean; stepMs?: number } = {},
): Promise<FakeServer> {
  const api = new FakeApi(options);
  let uploads = 0;
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/upload') void takeUpload(request, response, api, `g${++uploads}`);
    else void serveFile(pathname, response);
  });
  const sockets = new WebSocketServer({ server, path: '/ws' });
  sockets.on('connection', (socket) => {
    new Connection(channelOf(socket), api, { trusted: false });
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    api,
    async close() {
      api.close();
      for (const socket of sockets.clients) socket.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function channelOf(socket: WebSocket): Channel {
  const channel: Channel = {
    get pendingBytes() {
      return socket.bufferedAmount;
    },
    onMessage: () => {},
    onClose: () => {},
    send: (message) => socket.send(message),
    close: () => socket.close(),
  };
  socket.on('message', (message: Buffer, binary) => {
    channel.onMessage(binary ? new Uint8Array(message) : message.toString());
  });
  socket.on('close', () => channel.onClose());
  return channel;
}

async function serveFile(pathname: string, response: ServerResponse): Promise<void> {
  const path = join(root, normalize(pathname === '/' ? '/index.html' : pathname));
  try {
    const body = await readFile(path);
    response.writeHead(200, {
      'content-type': types[extname(path)] ?? 'application/octet-stream',
      'content-security-policy': policy,
    });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
}

/** Judges an upload by its first bytes, roughly as the real readers would. */
async function takeUpload(
  request: IncomingMessage,
  response: ServerResponse,
  api: FakeApi,
  grant: string,
): Promise<void> {
  let first: Buffer | undefined;
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    first ??= chunk;
    length += chunk.length;
  }
  const magic = first?.subarray(0, 4).toString('latin1') ?? '';
  if (magic.startsWith('QFI')) {
    const sizeBytes = 7.8 * 2 ** 30;
    api.grants.set(
      grant,
      reportOf({
        layers: ['qcow2'],
        storedBytes: length,
        virtualBytes: 8 * 2 ** 30,
        partitionTable: 'gpt',
        partitions: [
          {
            index: 1,
            startByte: 2 ** 20,
            sizeBytes: 2 ** 27,
            type: 'EFI system',
            filesystem: 'vfat',
          },
          { index: 2, startByte: 2 ** 28, sizeBytes, type: 'Linux', filesystem: 'ext4' },
        ],
        root: {
          partition: 2,
          filesystem: 'ext4',
          osName: 'Debian GNU/Linux 13 (trixie)',
          architecture: 'x86_64',
          init: '/sbin/init',
          hasSystemd: true,
        },
        sentence: 'Debian GNU/Linux 13 (trixie) for x86-64 in a qcow2 disk; it boots here.',
      }),
    );
  } else if (length > 0) {
    api.grants.set(
      grant,
      reportOf({
        kind: 'unknown',
        layers: [],
        engine: 'none',
        storedBytes: length,
        virtualBytes: length,
        sentence: 'This is a text file, not a disk image, so there is nothing in it to boot.',
      }),
    );
  }
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ grant }));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const port = Number(process.argv.find((word) => /^\d+$/.test(word)) ?? 4600);
  const { url } = await serveFake({ port, empty: process.argv.includes('--empty') });
  console.log(url);
}
