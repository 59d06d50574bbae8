/** `inspect`: the whole of one machine as JSON; with --jit what its translator does. */
import type { TranslatorView } from '../../../contract/machine.ts';
import type { Commands } from '../main.ts';
import { bytes, data, json, table } from '../print.ts';

export const inspectCommands: Commands = {
  inspect: {
    usage: 'inspect M [--jit]',
    about: 'The whole of a machine as JSON; --jit: what is hot, translated and thrown away, why',
    options: { jit: { type: 'boolean' } },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const machine = positionals[0]!;
      if (values['jit']) {
        const view = await client.call('machine.translator', { machine });
        return values['json'] ? json(view) : describe(view);
      }
      const [view, config, log] = await Promise.all([
        client.call('machine.get', { machine }),
        client.call('machine.config', { machine }),
        client.call('machine.log', { machine }),
      ]);
      data(JSON.stringify({ ...view, config: config.text, log }, null, 2));
    },
  },
};

const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const count = (value: number) => value.toLocaleString('en').replaceAll(',', ' ');

const kinds = {
  translated: 'translated',
  refused: 'left to the interpreter',
  rewritten: 'thrown away: its code was written over',
  overrun: 'thrown away: too much code was written',
  full: 'thrown away: no room',
};

function describe({ hot, latest, harts, total }: TranslatorView): void {
  data('Hot places');
  table(
    ['share', 'mode', 'address', 'translated'],
    hot.map((place) => [
      percent(place.share), place.mode, place.pc, percent(place.translated),
    ]), // prettier-ignore
  );
  data('\nSince it was switched on');
  const rows: [string, string][] = [
    ['translated', `${count(total.regions)} regions, ${count(total.instructions)} instructions`],
    ['WebAssembly', `${bytes(total.wasmBytes)} in ${count(Math.round(total.milliseconds))} ms`],
    ['kept', `${count(total.liveRegions)} regions of ${count(total.livePages)} pages`],
    ['refused', `${count(total.refused)} places that only the interpreter runs`],
    ['thrown away', `${count(total.droppedRewritten)} regions whose code was written over`],
    ['', `${count(total.droppedOverrun)} because too much code was written to know what`],
    ['', `${count(total.droppedFull)} to make room, ${count(total.resets)} times`],
    ['by processor', harts.map(({ regions }) => count(regions)).join(', ')],
  ];
  for (const [name, text] of rows) data(`${name.padEnd(12)} ${text}`);
  data('\nLast');
  table(
    ['cpu', 'frame or place', 'what', 'instructions or regions', 'WebAssembly'],
    latest.map((event) => [
      String(event.hart), event.address, kinds[event.kind], String(event.count),
      event.wasmBytes > 0 ? bytes(event.wasmBytes) : '-',
    ]), // prettier-ignore
  );
}
