/** Commands about images. */
import { resolve } from 'node:path';
import { Refusal } from '../../../base/refusal.ts';
import type { JobView } from '../../../contract/things.ts';
import type { Client } from '../../../rpc/client.ts';
import type { Commands } from '../main.ts';
import { bytes, data, json, Progress, say, table } from '../print.ts';

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
  'image import': {
    usage: 'image import FILE [--name N]',
    about: 'Bring in a disk image or root file system, whatever its format',
    options: { name: { type: 'string' } },
    words: [1, 1],
    run: async (client, { positionals, values }) => {
      const source = { path: resolve(positionals[0]!) };
      const report = await client.call('image.inspect', { source });
      say(report.sentence);
      const name = values['name'];
      const job = await client.call('image.import', {
        source,
        ...(name === undefined ? {} : { name: String(name) }),
      });
      const made = await followJob(client, job);
      if (values['json']) json(await client.call('image.info', { image: made }));
      else data(made);
    },
  },
  'image build': {
    usage: 'image build debian',
    about: 'Build an image from its recipe',
    words: [1, 1],
    run: async (client, { positionals }) => {
      const recipe = positionals[0]!;
      if (recipe !== 'debian' && recipe !== 'tiny') {
        throw new Refusal('not-found', `There is no recipe “${recipe}”; there is debian.`);
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
