/**
 * The door for browsers: serves the built renderer, its WebSocket and uploads on the loopback
 * address only. Three things are asked of every request: the right Host (against DNS rebinding),
 * no foreign Origin, and the cookie. The cookie is given for the token (`/?token=…`, the address
 * that is printed) or for a ticket (`/?ticket=…`, good once: tickets.ts); neither ever reaches a
 * script of the page.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join, normalize, sep } from 'node:path';
import { WebSocketServer } from 'ws';
import { asRefusal } from '../../base/refusal.ts';
import { Connection, type Api } from '../../rpc/server.ts';
import { controlLengthMax } from '../../rpc/wire.ts';
import { WebSocketChannel } from '../../rpc/node/websocket-channel.ts';
import { contentType, securityHeaders } from '../security.ts';
import { peerUid, type Tickets } from './tickets.ts';

const cookieName = 'nymph';
export interface HttpDoor {
  readonly root: string;
  readonly token: string;
  readonly tickets: Tickets;
  readonly api: Api;
  /** Takes an uploaded file and answers with its grant. */
  receive(title: string, lengthBytes: number | undefined, body: IncomingMessage): Promise<string>;
}

/** Listens on 127.0.0.1; `port` 0 takes any. @returns the server once it listens. */
export async function openHttpDoor(door: HttpDoor, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    void answer(door, request, response).catch(() => {
      if (!response.headersSent) plain(response, 500, 'That did not work.');
      else response.destroy();
    });
  });
  server.requestTimeout = 0; // An upload takes as long as it takes.
  const sockets = new WebSocketServer({ noServer: true, maxPayload: controlLengthMax });
  server.on('upgrade', (request, socket, head) => {
    // From here on nobody else listens for a caller that hangs up.
    socket.on('error', () => socket.destroy());
    const refused = refusalFor(door, request, portOf(server));
    if (refused || urlOf(request)?.pathname !== '/ws') {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      new Connection(new WebSocketChannel(webSocket), door.api, { trusted: false });
    });
  });
  server.on('close', () => sockets.clients.forEach((client) => client.terminate()));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return server;
}

export function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

async function answer(door: HttpDoor, request: IncomingMessage, response: ServerResponse) {
  const port = request.socket.localPort ?? 0;
  const url = urlOf(request);
  harden(response);
  if (!url) return plain(response, 400, 'That is no address.');
  if (request.method === 'GET' && goodHost(request, port)) {
    const refused = letIn(door, url, request, response);
    if (refused === true) return;
    if (refused) return plain(response, 403, refused);
  }
  const refused = refusalFor(door, request, port);
  if (refused) return plain(response, 403, refused);
  if (request.method === 'PUT' && url.pathname === '/upload') {
    return upload(door, url, request, response);
  }
  if (request.method === 'POST' && url.pathname === '/ticket') {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ ticket: door.tickets.issue() }));
    return;
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(response, 405, 'No.');
  await sendFile(door.root, url.pathname, request, response);
}

/**
 * Gives the cookie for a token or a ticket, and sends on to the address without it.
 * @returns true when it has answered, why it refuses, or undefined when neither is shown.
 */
function letIn(
  door: HttpDoor,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
): true | string | undefined {
  const token = url.searchParams.get('token');
  const ticket = url.searchParams.get('ticket');
  if (token === null && ticket === null) return undefined;
  const port = request.socket.localPort ?? 0;
  if (token !== null) {
    if (!same(token, door.token)) return 'That is not the token of this server.';
  } else {
    const uid = peerUid({ localPort: port, remotePort: request.socket.remotePort ?? 0 });
    // Before the ticket is spent: whoever read it off a command line must not use it up either.
    if (uid !== undefined && uid !== 0 && uid !== process.getuid?.()) return 'Another user asks.';
    if (!door.tickets.take(ticket!)) return 'That address was good once; start Nymph again.';
  }
  url.searchParams.delete('token');
  url.searchParams.delete('ticket');
  response.setHeader(
    'Set-Cookie',
    `${cookieName}-${port}=${door.token}; Path=/; HttpOnly; SameSite=Strict`,
  );
  // One slash: two would name another host.
  response.setHeader('Location', url.pathname.replace(/^\/+/, '/') + url.search);
  response.writeHead(303).end();
  return true;
}

/** Undefined for what is no path, such as `//`. */
function urlOf(request: IncomingMessage): URL | undefined {
  return URL.parse(request.url ?? '/', 'http://127.0.0.1') ?? undefined;
}

/** Why a request is not answered, or undefined. */
function refusalFor(door: HttpDoor, request: IncomingMessage, port: number): string | undefined {
  if (!goodHost(request, port)) return 'This server answers to its own address only.';
  const origin = request.headers.origin;
  if (origin !== undefined && !origins(port).includes(origin))
    return 'Another page asked for this.';
  const cookie = new RegExp(`(?:^|; )${cookieName}-${port}=([^;]*)`).exec(
    request.headers.cookie ?? '',
  );
  if (!cookie || !same(cookie[1]!, door.token)) {
    return 'Open Nymph with the whole address that it printed, token included.';
  }
  return undefined;
}

function goodHost(request: IncomingMessage, port: number): boolean {
  const host = request.headers.host;
  return host === `127.0.0.1:${port}` || host === `localhost:${port}`;
}

function origins(port: number): string[] {
  return [`http://127.0.0.1:${port}`, `http://localhost:${port}`];
}

function same(given: string, wanted: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(given), hash(wanted));
}

function harden(response: ServerResponse): void {
  for (const [name, value] of Object.entries(securityHeaders())) response.setHeader(name, value);
  response.setHeader('Cache-Control', 'no-cache');
}

async function upload(
  door: HttpDoor,
  url: URL,
  request: IncomingMessage,
  response: ServerResponse,
) {
  const title = (url.searchParams.get('name') ?? 'file').slice(0, 200);
  const length = Number(request.headers['content-length']);
  try {
    const grant = await door.receive(title, Number.isFinite(length) ? length : undefined, request);
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ grant }));
  } catch (thrown) {
    const { code, message } = asRefusal(thrown);
    response.setHeader('Content-Type', 'application/json');
    response.writeHead(code === 'no-space' ? 507 : 500);
    response.end(JSON.stringify({ error: { code, message } }));
  }
}

async function sendFile(
  root: string,
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
) {
  let wanted: string;
  try {
    wanted = normalize(decodeURIComponent(pathname));
  } catch {
    return plain(response, 400, 'That is no address.');
  }
  const path = join(root, wanted === sep ? 'index.html' : wanted);
  if (wanted.includes('\0') || !path.startsWith(root + sep))
    return plain(response, 404, 'Not here.');
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return plain(response, 404, 'Not here.');
  response.setHeader('Content-Type', contentType(path));
  response.setHeader('Content-Length', found.size);
  if (wanted.startsWith(`${sep}assets${sep}`)) {
    response.setHeader('Cache-Control', 'max-age=31536000, immutable');
  }
  if (request.method === 'HEAD') response.end();
  else createReadStream(path).pipe(response);
}

function plain(response: ServerResponse, status: number, sentence: string): void {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  response.writeHead(status).end(`${sentence}\n`);
}
