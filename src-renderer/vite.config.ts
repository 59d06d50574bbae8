/**
 * Builds the window: `npm run build` writes dist/renderer. Nothing is inlined (the pages' CSP
 * allows neither inline scripts nor data: fonts), and paths are relative, so that the same files
 * serve over http and from the app's own scheme.
 */
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here('.'),
  base: './',
  publicDir: here('../resources/icons'),
  plugins: [svelte({ configFile: false })],
  resolve: {
    alias: { '@contract': here('../src-main/contract'), '@rpc': here('../src-main/rpc') },
  },
  build: {
    outDir: here('../dist/renderer'),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    target: 'esnext',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1200,
  },
});
