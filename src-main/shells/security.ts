/**
 * The policy of everything that shows the window, as pure functions: what a page may load, where
 * it may go, what it may ask for. The Electron shell and the loopback server both obey it, and
 * the tests read it without either.
 *
 * A page is only ever what was built into dist/renderer; it has no inline script, no frame, no
 * other origin, and HTML made from text is refused by Trusted Types (Svelte's own templates are
 * the one policy allowed).
 */

/** The scheme and origin from which the Electron shell serves the window. */
export const appScheme = 'app';
export const appOrigin = `${appScheme}://nymph`;

/** The value of the Content-Security-Policy header of every answer. */
export function contentSecurityPolicy(): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    // xterm and the network canvas place things with inline styles.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "manifest-src 'self'",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    'trusted-types svelte-trusted-html',
  ].join('; ');
}

/** Every header that an answer of the app's own scheme carries besides its content type. */
export function securityHeaders(): Record<string, string> {
  return {
    'Content-Security-Policy': contentSecurityPolicy(),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  };
}

/** The `webPreferences` of every window; all that matters is written out, defaults or not. */
export function windowPreferences(preload: string) {
  return {
    preload,
    contextIsolation: true,
    sandbox: true,
    nodeIntegration: false,
    nodeIntegrationInWorker: false,
    nodeIntegrationInSubFrames: false,
    webSecurity: true,
    allowRunningInsecureContent: false,
    webviewTag: false,
    navigateOnDragDrop: false,
    safeDialogs: true,
    spellcheck: false,
  } as const;
}

/** Whether a window may go there: the app's own pages only. */
export function isAllowedNavigation(address: string): boolean {
  const url = parsed(address);
  return url !== undefined && url.protocol === `${appScheme}:` && url.host === 'nymph';
}

/** Whether the user may be asked to open it in a browser: plain https, nothing disguised. */
export function isAllowedExternal(address: string): boolean {
  const url = parsed(address);
  return (
    url !== undefined &&
    url.protocol === 'https:' &&
    url.username === '' &&
    url.password === '' &&
    address.length <= 2000
  );
}

/** Writing cleaned text to the clipboard, and reading it to paste; nothing else, ever. */
export function isAllowedPermission(permission: string, requestingUrl: string): boolean {
  const known = permission === 'clipboard-sanitized-write' || permission === 'clipboard-read';
  return known && isAllowedNavigation(requestingUrl);
}

/** Whether a message comes from a page of ours and not from a frame that got in. */
export function isAllowedSender(frame: { url: string; isMainFrame: boolean } | null): boolean {
  return frame !== null && frame.isMainFrame && isAllowedNavigation(frame.url);
}

/** A console of a machine, `machine:number`, as the page names what it wants popped out. */
export function isConsoleRoute(route: string): boolean {
  return /^[a-z0-9][a-z0-9._-]{0,62}:[0-7]$/.test(route);
}

/**
 * The file under `root` (an absolute path with slashes) that an address means.
 * @returns undefined for every other origin and everything that would leave the root.
 */
export function resolveAppPath(root: string, address: string): string | undefined {
  if (!isAllowedNavigation(address)) return undefined;
  let path: string;
  try {
    path = decodeURIComponent(new URL(address).pathname);
  } catch {
    return undefined;
  }
  const parts = path.split('/').slice(1);
  if (path === '/') parts[0] = 'index.html';
  const strange = parts.some((part) => part === '' || part === '.' || part === '..');
  if (strange || /[\\\0:]/.test(path)) return undefined;
  return `${root}/${parts.join('/')}`;
}

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  woff2: 'font/woff2',
  json: 'application/json',
  webmanifest: 'application/manifest+json',
};

/** The type a file is served as, from its name. */
export function contentType(path: string): string {
  return types[/\.([a-z0-9]+)$/.exec(path)?.[1] ?? ''] ?? 'application/octet-stream';
}

function parsed(address: string): URL | undefined {
  return URL.canParse(address) ? new URL(address) : undefined;
}
