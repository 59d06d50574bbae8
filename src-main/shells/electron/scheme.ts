/**
 * Serves the built renderer as `app://nymph/…` instead of `file:`: a real origin, with the
 * policy's headers on every answer, and nothing outside the renderer's folder.
 */
import { readFile } from 'node:fs/promises';
import { protocol } from 'electron';
import { appScheme, contentType, resolveAppPath, securityHeaders } from '../security.ts';

/** Must run before Electron is ready. */
export function declareScheme(): void {
  const privileges = { standard: true, secure: true, supportFetchAPI: true };
  protocol.registerSchemesAsPrivileged([{ scheme: appScheme, privileges }]);
}

/** @param root the renderer's folder, absolute, with slashes. */
export function serveScheme(root: string): void {
  protocol.handle(appScheme, async (request) => {
    const path = request.method === 'GET' ? resolveAppPath(root, request.url) : undefined;
    const content = path && (await readFile(path).catch(() => undefined));
    const headers = securityHeaders();
    if (!path || !content) return new Response('Not here.', { status: 404, headers });
    headers['Content-Type'] = contentType(path);
    return new Response(new Uint8Array(content), { headers });
  });
}
