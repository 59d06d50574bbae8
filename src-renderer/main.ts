/**
 * Joins client, state and views: builds the state, dials the server and mounts the frame, or only
 * one console when the address says `?console=machine:n`.
 */
import './client/no-eval.ts';
import { mount } from 'svelte';
import '@fontsource-variable/inter/opsz.css';
import '@fontsource-variable/jetbrains-mono/index.css';
import './ui/tokens.css';
import './ui/base.css';
import App from './App.svelte';
import { Nymph } from './state/nymph.ts';

const nymph = new Nymph();
void nymph.link.dial();

mount(App, {
  target: document.getElementById('app')!,
  props: { nymph, consoleRoute: new URLSearchParams(location.search).get('console') },
});
