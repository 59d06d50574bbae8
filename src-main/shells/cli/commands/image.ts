/** Commands about images, and files that become images or machines. */
import { basename, resolve } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import type { JobView } from '../../../contract/things.ts';
import type { Client } from '../../../rpc/client.ts';
import type { Commands, Words } from '../main.ts';
import { bytes, data, json, Progress, say, table } from '../print.ts';

const importOptions = {
  name: { type: 'string' },
  // The files that an image builds on are read too, if they lie in its folder.
  'with-backing': { type: 'boolean' },
} as const;

const recipes = ['debian', 'debian-riscv64', 'tiny'] as const;

export const imageCommands: Commands = {
  'image ls': {
    usage: 'image ls',
    about: 'List the images',
    words: [0, 0],
    run: async (client, { values }) => {
      const images = await client.call('image.list', {});
      if (values['json']) return json(images);
      table(
        ['name', 'origin', 'engine', 'virtual', 'real', 'description'],
        images.map((image) => [
          image.name,
          image.origin,
          image.engine,
          image.virtualBytes ? bytes(image.virtualBytes) : '-',
          image.realBytes ? bytes(image.realBytes) : '-',
          image.description,
        ]),
      );
    },
  },
  import: {
    usage: 'import FILE [--name N] [--with-backing]',
    about: 'Bring in a machine bundle as a machine, anything else as an image',
    options: importOptions,
    words: [1, 1],
    run: bringIn,
  },
  'image import': {
    usage: 'image import FILE [--name N] [--with-backing]',
    about: 'Bring in a disk image or root file system, whatever its format',
    options: importOptions,
    words: [1, 1],
    run: bringIn,
  },
  'image build': {
    usage: 'image build debian | debian-riscv64',
    about: 'Build an image from its recipe',
    words: [1, 1],
    run: async (client, { positionals }) => {
      const recipe = recipes.find((known) => known === positionals[0]);
      if (!recipe) {
        const sentence = `There is no recipe “${positionals[0]}”; there is ${recipes.join(', ')}.`;
        throw new Refusal('not-found', sentence);
      }
      data(await followJob(client, await client.call('image.build', { recipe })));
    },
  },
  'image rm': {
    usage: 'image rm N',
    about: 'Delete an image that no machine uses',
    words: [1, 1],
    run: async (client, { positionals }) => {
      await client.call('image.remove', { image: positionals[0]! });
    },
  },
  'image info': {
    usage: 'image info N',
    about: 'Everything about one image',
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const image = await client.call('image.info', { image: positionals[0]! });
      if (values['json']) return json(image);
      data(`Name         ${image.name}`);
      data(`What         ${image.description}`);
      data(`Size         ${bytes(image.virtualBytes)}, ${bytes(image.realBytes)} on the host`);
      data(
        `Runs on      ${image.engine === 'none' ? 'no engine here' : `the ${image.engine} engine`}`,
      );
      data(`Used by      ${image.usedBy.join(', ') || 'nobody'}`);
    },
  },
};

/** What the file is decides what becomes of it. */
async function bringIn(client: Client, { positionals, values }: Words): Promise<void> {
  const source = { path: resolve(positionals[0]!) };
  const withBacking = values['with-backing'] === true;
  const name = values['name'] === undefined ? {} : { name: String(values['name']) };
  const report = await lookInside(client, source.path, withBacking);
  if (report.backing && !withBacking) {
    throw new Refusal('unsupported', `${report.sentence} To agree, add --with-backing.`);
  }
  say(report.sentence);
  if (report.machine) {
    for (const sentence of report.machine.leftOut) say(sentence);
    const job = await client.call('machine.import', { source, ...name });
    const made = await followJob(client, job);
    if (values['json']) json(await client.call('machine.get', { machine: made }));
    else data(made);
    return;
  }
  const job = await client.call('image.import', { source, withBacking, ...name });
  const made = await followJob(client, job);
  if (values['json']) json(await client.call('image.info', { image: made }));
  else data(made);
}

/** A compressed file takes a while to look into; that shows as a job of the server. */
async function lookInside(client: Client, path: string, withBacking: boolean) {
  const progress = new Progress();
  const stop = client.on('job.changed', ({ kind, title, step, fraction }) => {
    if (kind === 'image-look' && title.endsWith(basename(path))) {
      progress.show(`${title}: ${step}`, fraction);
    }
  });
  try {
    await client.call('events.subscribe', {});
    return await client.call('image.inspect', { source: { path }, withBacking });
  } finally {
    stop();
    progress.end();
  }
}

/** Shows a job until it ends; an interrupt cancels it. @returns what it made. */
export async function followJob(client: Client, job: JobView): Promise<string> {
  const progress = new Progress();
  client.on('job.changed', (changed) => {
    if (changed.id === job.id) progress.show(`${changed.title}: ${changed.step}`, changed.fraction);
  });
  await client.call('events.subscribe', {});
  const cancel = () => void client.call('job.cancel', { job: job.id }).catch(() => {});
  process.once('SIGINT', cancel);
  const ended = await client.call('job.wait', { job: job.id });
  process.off('SIGINT', cancel);
  progress.end();
  if (ended.state === 'cancelled')
    throw new Refusal('cancelled', 'Cancelled; nothing was changed.');
  if (ended.state !== 'done') throw new Refusal('bad-input', ended.error ?? 'It failed.');
  return ended.outcome ?? '';
}
