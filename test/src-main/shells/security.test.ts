/**
 * The policy of everything that shows the window (points 1 to 7 of Electron's checklist), read
 * straight off the functions that the shells use.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  contentSecurityPolicy,
  contentType,
  isAllowedExternal,
  isAllowedNavigation,
  isAllowedPermission,
  isAllowedSender,
  isConsoleRoute,
  resolveAppPath,
  securityHeaders,
  windowPreferences,
} from '../../../src-main/shells/security.ts';

test('every window is confined, and each setting is written out', () => {
  const { preload, ...settings } = windowPreferences('/p/preload.cjs');
  assert.equal(preload, '/p/preload.cjs');
  const on = ['contextIsolation', 'sandbox', 'webSecurity', 'safeDialogs'] as const;
  for (const [name, value] of Object.entries(settings)) {
    assert.equal(value, (on as readonly string[]).includes(name), name);
  }
  assert.ok('nodeIntegration' in settings && 'webviewTag' in settings);
});

suite('the content policy', () => {
  const policy = new Map(
    contentSecurityPolicy()
      .split('; ')
      .map((rule) => [rule.split(' ')[0]!, rule.split(' ').slice(1).join(' ')]),
  );

  test('starts from nothing and runs only our own scripts', () => {
    assert.equal(policy.get('default-src'), "'none'");
    assert.equal(policy.get('script-src'), "'self'");
    assert.equal(policy.get('object-src'), "'none'");
    assert.equal(policy.get('base-uri'), "'none'");
    assert.equal(policy.get('form-action'), "'none'");
    assert.equal(policy.get('frame-ancestors'), "'none'");
  });

  test('names no other origin, no inline script, no eval', () => {
    const text = contentSecurityPolicy();
    assert.doesNotMatch(text, /https?:|\*|unsafe-eval/);
    assert.doesNotMatch(policy.get('script-src')!, /unsafe/);
  });

  test('refuses HTML made from text', () => {
    assert.equal(policy.get('require-trusted-types-for'), "'script'");
  });

  test('travels with the other headers', () => {
    assert.equal(securityHeaders()['Content-Security-Policy'], contentSecurityPolicy());
    assert.equal(securityHeaders()['X-Content-Type-Options'], 'nosniff');
  });
});

test('a window goes nowhere but to pages of ours', () => {
  assert.ok(isAllowedNavigation('app://nymph/'));
  assert.ok(isAllowedNavigation('app://nymph/?console=tiny:0'));
  const others = ['app://other/', 'http://nymph/', 'file:///etc/passwd', 'javascript:1'];
  const strange = ['', 'app:nymph', 'data:text/html,x', 'app://nymph.evil/', 'about:blank'];
  for (const address of [...others, ...strange]) {
    assert.equal(isAllowedNavigation(address), false, address);
  }
});

test('only plain https may be offered to the browser', () => {
  assert.ok(isAllowedExternal('https://example.org/a?b#c'));
  const others = ['http://example.org', 'file:///etc/passwd', 'smb://x/y', 'app://nymph/', 'x'];
  const disguised = ['https://user:word@example.org/', `https://a/${'b'.repeat(2000)}`];
  for (const address of [...others, ...disguised]) {
    assert.equal(isAllowedExternal(address), false, address);
  }
});

test('a page of ours may use the clipboard and nothing else', () => {
  assert.ok(isAllowedPermission('clipboard-read', 'app://nymph/'));
  assert.ok(isAllowedPermission('clipboard-sanitized-write', 'app://nymph/'));
  assert.equal(isAllowedPermission('clipboard-read', 'https://example.org/'), false);
  for (const permission of ['media', 'geolocation', 'notifications', 'usb', 'hid', 'x']) {
    assert.equal(isAllowedPermission(permission, 'app://nymph/'), false, permission);
  }
});

test('only the main frame of a page of ours is listened to', () => {
  assert.ok(isAllowedSender({ url: 'app://nymph/', isMainFrame: true }));
  assert.equal(isAllowedSender({ url: 'app://nymph/', isMainFrame: false }), false);
  assert.equal(isAllowedSender({ url: 'https://example.org/', isMainFrame: true }), false);
  assert.equal(isAllowedSender(null), false);
});

test('a pop-out names a console and nothing else', () => {
  assert.ok(isConsoleRoute('web-1:0'));
  for (const route of ['web', 'web:9', '../x:0', 'web:0&token=1', 'https://x/:1', 'WEB:0']) {
    assert.equal(isConsoleRoute(route), false, route);
  }
});

suite('the app’s own scheme', () => {
  const at = (address: string) => resolveAppPath('/r/dist', address);

  test('serves what lies under its root', () => {
    assert.equal(at('app://nymph/'), '/r/dist/index.html');
    assert.equal(at('app://nymph/?console=tiny:0'), '/r/dist/index.html');
    assert.equal(at('app://nymph/assets/a.js'), '/r/dist/assets/a.js');
  });

  test('never leaves it', () => {
    const ways = ['/../x', '/%2e%2e/x', '/a/..%2f..%2fx', '/a//b', '/a/./b', '/%00', '/a%5c..%5cb'];
    for (const way of [...ways, '/c:/x', '/%zz']) {
      const path = at(`app://nymph${way}`);
      assert.ok(path === undefined || /^\/r\/dist\/[a-z/]+$/.test(path), `${way} → ${path}`);
    }
    assert.equal(at('app://other/index.html'), undefined);
    assert.equal(at('file:///etc/passwd'), undefined);
  });

  test('knows the types of what is built, and calls the rest bytes', () => {
    assert.equal(contentType('/a/index.html'), 'text/html; charset=utf-8');
    assert.equal(contentType('/a/font.woff2'), 'font/woff2');
    assert.equal(contentType('/a/strange'), 'application/octet-stream');
  });
});
