/**
 * One xterm on one element, and the console it is attached to. Bytes go straight between the
 * stream and xterm: no component state, no JSON, and the stream is held back until xterm has
 * parsed most of what it was given.
 *
 * A guest's bytes are hostile: it gets no clipboard (unless the user allows writing), links open
 * only after asking, and what the kept scrollback asks of the terminal is not answered, because
 * the answer would be typed into whatever runs there now.
 */
import { Terminal, type ITheme } from '@xterm/xterm';
import { ClipboardAddon } from '@xterm/addon-clipboard';
import { FitAddon } from '@xterm/addon-fit';
import { SearchAddon } from '@xterm/addon-search';
import { Unicode11Addon } from '@xterm/addon-unicode11';
import { WebLinksAddon } from '@xterm/addon-web-links';
import { WebglAddon } from '@xterm/addon-webgl';
import type { Console } from '../../state/console.svelte.ts';
import { colour } from '../../ui/colour.ts';

export type Asks = {
  link: (address: string) => void;
  /** Several lines are about to be pasted. */
  paste: (text: string) => void;
  search: () => void;
  leave: () => void;
};

const scrollbackLines = 10_000;
/** Half of what one stream may have under way, so that a flood never leaves xterm idle. */
const unparsedBytesMax = 128 << 10;
const encoder = new TextEncoder();

export class ConsoleTerminal {
  readonly term: Terminal;
  readonly search = new SearchAddon();
  private readonly fit = new FitAddon();
  private readonly observer: ResizeObserver;
  private readonly element: HTMLElement;
  private readonly console: Console;
  private readonly asks: Asks;
  private readonly askBeforePaste: () => boolean;
  private unparsedBytes = 0;
  private wake: () => void = () => {};
  private resizeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    element: HTMLElement,
    console: Console,
    asks: Asks,
    options: { guestClipboard: boolean; screenReader: boolean; askBeforePaste: () => boolean },
  ) {
    this.element = element;
    this.console = console;
    this.asks = asks;
    this.askBeforePaste = options.askBeforePaste;
    this.term = new Terminal({
      allowProposedApi: true,
      cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
      fontFamily: '"JetBrains Mono Variable", monospace',
      fontSize: 13,
      lineHeight: 1.25,
      scrollback: scrollbackLines,
      minimumContrastRatio: 4.5,
      screenReaderMode: options.screenReader,
      theme: theme(),
    });
    this.load(options.guestClipboard);
    this.term.open(element);
    this.draw();
    this.wire();
    this.observer = new ResizeObserver(() => this.resizeSoon());
    this.observer.observe(element);
    this.fit.fit();
  }

  /**
   * Called with the console's bytes. Holds the sender back only while xterm has more than enough
   * unparsed: waiting for each small piece would cost a timer apiece, some 15 kB/s in all.
   */
  readonly take = (bytes: Uint8Array): Promise<void> | void => {
    this.unparsedBytes += bytes.length;
    this.term.write(bytes, () => {
      this.unparsedBytes -= bytes.length;
      if (this.unparsedBytes <= unparsedBytesMax / 2) this.wake();
    });
    if (this.unparsedBytes < unparsedBytesMax) return undefined;
    return new Promise((resolve) => (this.wake = resolve));
  };

  parsed(): Promise<void> {
    return new Promise((resolve) => this.term.write('', resolve));
  }

  restart(): void {
    this.term.reset();
    this.tellSize();
  }

  retheme(): void {
    this.term.options.theme = theme();
  }

  focus(): void {
    this.term.focus();
  }

  paste(text: string): void {
    this.term.paste(text);
    this.term.focus();
  }

  copy(): void {
    const text = this.term.getSelection();
    if (text) void navigator.clipboard.writeText(text);
  }

  async pasteClipboard(): Promise<void> {
    const text = await navigator.clipboard.readText().catch(() => '');
    this.offer(text);
  }

  dispose(): void {
    clearTimeout(this.resizeTimer);
    this.observer.disconnect();
    this.element.removeEventListener('paste', this.onPaste, true);
    this.term.dispose();
    this.wake();
  }

  private load(guestClipboard: boolean): void {
    this.term.loadAddon(this.fit);
    this.term.loadAddon(this.search);
    this.term.loadAddon(new Unicode11Addon());
    this.term.unicode.activeVersion = '11';
    this.term.loadAddon(new WebLinksAddon((_, address) => this.asks.link(address)));
    this.term.options.linkHandler = { activate: (_, address) => this.asks.link(address) };
    if (guestClipboard) this.term.loadAddon(new ClipboardAddon(undefined, writeOnly));
    // Questions in the replay: swallowed, not answered.
    const swallow = () => this.console.replaying;
    const { parser } = this.term;
    for (const prefix of ['', '?', '>', '=']) {
      const kind = prefix ? { prefix } : {};
      for (const final of ['c', 'n', 'q']) {
        if (prefix || final !== 'q') parser.registerCsiHandler({ ...kind, final }, swallow);
      }
      parser.registerCsiHandler({ ...kind, intermediates: '$', final: 'p' }, swallow);
    }
    parser.registerDcsHandler({ intermediates: '$', final: 'q' }, swallow);
    parser.registerCsiHandler({ final: 't' }, () => true);
    for (const colourQuery of [4, 10, 11, 12]) parser.registerOscHandler(colourQuery, swallow);
  }

  /** WebGL where the browser gives us a context; it may take it back, then the DOM draws. */
  private draw(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.term.loadAddon(webgl);
    } catch {
      // The DOM renderer is already there.
    }
  }

  private wire(): void {
    this.term.onData((data) => this.console.write(encoder.encode(data)));
    this.term.onBinary((data) => {
      this.console.write(Uint8Array.from(data, (char) => char.charCodeAt(0)));
    });
    this.element.addEventListener('paste', this.onPaste, true);
    this.term.attachCustomKeyEventHandler((event) => this.ours(event));
  }

  private readonly onPaste = (event: ClipboardEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    this.offer(event.clipboardData?.getData('text/plain') ?? '');
  };

  private offer(text: string): void {
    if (!text) return;
    const lines = text.replace(/\r?\n$/, '').includes('\n');
    if (lines && this.askBeforePaste()) this.asks.paste(text);
    else this.paste(text);
  }

  /** Returns false for keys that are the window's and not the guest's. */
  private ours(event: KeyboardEvent): boolean {
    if (event.type !== 'keydown') return true;
    const { key, ctrlKey, shiftKey, metaKey, altKey } = event;
    const lower = key.toLowerCase();
    if ((ctrlKey && shiftKey) || metaKey) {
      if (lower === 'c') return (event.preventDefault(), this.copy(), false);
      if (lower === 'v') {
        if (metaKey) return true;
        event.preventDefault();
        void this.pasteClipboard();
        return false;
      }
      if (lower === 'f') return (event.preventDefault(), this.asks.search(), false);
      if (['p', 'k', 'm'].includes(lower)) return false;
    }
    if (key === 'F6') return (event.preventDefault(), this.asks.leave(), false);
    const number = /^[1-9]$/.test(key);
    return !(number && (ctrlKey || altKey || metaKey));
  }

  private resizeSoon(): void {
    clearTimeout(this.resizeTimer);
    this.resizeTimer = setTimeout(() => {
      if (!this.element.clientWidth) return;
      this.fit.fit();
      this.tellSize();
    }, 60);
  }

  private tellSize(): void {
    this.console.resize(this.term.rows, this.term.cols);
  }
}

const writeOnly = {
  readText: () => '',
  writeText: (selection: string, text: string) =>
    selection === 'c' ? navigator.clipboard.writeText(text) : Promise.resolve(),
};

function theme(): ITheme {
  const names = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'] as const;
  const plain = Object.fromEntries(names.map((name) => [name, colour(`--term-${name}`)]));
  const bright = Object.fromEntries(
    names.map((name) => [
      `bright${name[0]!.toUpperCase()}${name.slice(1)}`,
      colour(name === 'black' ? '--term-gray' : name === 'white' ? '--term-fg' : `--term-${name}`),
    ]),
  );
  return {
    ...plain,
    ...bright,
    background: colour('--term-bg'),
    foreground: colour('--term-fg'),
    cursor: colour('--term-cursor'),
    cursorAccent: colour('--term-bg'),
    selectionBackground: colour('--term-selection'),
    scrollbarSliderBackground: colour('--line-soft'),
    scrollbarSliderHoverBackground: colour('--line-strong'),
    scrollbarSliderActiveBackground: colour('--line-strong'),
  };
}
