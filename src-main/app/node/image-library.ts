/**
 * The images machines are made from: one folder each with the raw disk, never written again, and
 * a note of what it is. Importing and building are jobs; an image appears when it is whole.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { makeDirectory, syncDirectory, writeFileAtomic } from '../../base/node/files.ts';
import type { ImageReport, ImageView, JobView } from '../../contract/things.ts';
import type { RunInImage } from '../../images/node/debian-riscv.ts';
import type { JobHandle, Jobs } from '../jobs.ts';
import type { Paths } from './paths.ts';
import { ImageIntake, type Handed } from './image-intake.ts';
import { buildImage, tinyKey, type ImageRecipe, type Made } from './image-makers.ts';

const noteFile = 'image.json';
const diskFile = 'disk.raw';

export type ImageNote = {
  origin: 'built-in' | 'imported' | 'built';
  title: string;
  description: string;
  createdMs: number;
  report: ImageReport;
  /** What it was built from; a built-in image is made anew when this changes. */
  key?: string;
};

type Entry = { note: ImageNote; realBytes: number };

/** Images that can be had on request, before they exist. */
const recipes = {
  debian: {
    title: 'Debian',
    description: 'A minimal Debian with systemd, built from your own Debian mirror.',
    engine: 'native',
    architecture: 'x86_64',
  },
  'debian-riscv64': {
    title: 'Debian for RISC-V',
    description: 'A minimal Debian with systemd for the portable engine, from your own mirror.',
    engine: 'portable',
    architecture: 'riscv64',
  },
  'tiny-riscv64': {
    title: 'Tiny Linux for RISC-V',
    description: 'Tiny Linux for the portable engine, with Debian’s busybox for riscv64.',
    engine: 'portable',
    architecture: 'riscv64',
  },
} as const;

function titleOf(recipe: ImageRecipe): string {
  return recipe === 'tiny' ? 'Tiny Linux' : recipes[recipe].title;
}

export class ImageLibrary {
  private readonly entries = new Map<string, Entry>();
  private readonly paths: Paths;
  private readonly jobs: Jobs;
  private readonly nowMs: () => number;
  private readonly usedBy: (image: string) => string[];
  private readonly trashedUsers: (image: string) => Promise<string[]>;
  private readonly announce: (name: string) => void;
  private readonly finish: RunInImage;
  private readonly intake: ImageIntake;

  constructor(parts: {
    paths: Paths;
    jobs: Jobs;
    nowMs: () => number;
    usedBy: (image: string) => string[];
    trashedUsers: (image: string) => Promise<string[]>;
    announce: (name: string) => void;
    /** Finishes an image of another processor in a machine. */
    finish: RunInImage;
  }) {
    this.paths = parts.paths;
    this.jobs = parts.jobs;
    this.nowMs = parts.nowMs;
    this.usedBy = parts.usedBy;
    this.trashedUsers = parts.trashedUsers;
    this.announce = parts.announce;
    this.finish = parts.finish;
    this.intake = new ImageIntake(parts.paths.images, parts.jobs);
  }

  async open(): Promise<void> {
    await makeDirectory(this.paths.images);
    for (const name of await readdir(this.paths.images)) {
      if (name.startsWith('.')) await rm(join(this.paths.images, name), { recursive: true });
      else await this.read(name);
    }
  }

  rawPath(name: string): string {
    this.find(name);
    return join(this.paths.images, name, diskFile);
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  note(name: string): ImageNote {
    return this.find(name).note;
  }

  list(): ImageView[] {
    const made = [...this.entries.keys()].map((name) => this.view(name)!);
    const possible = Object.keys(recipes)
      .filter((name) => !this.entries.has(name))
      .map((name) => this.view(name)!);
    return [...made, ...possible];
  }

  view(name: string): ImageView | undefined {
    const entry = this.entries.get(name);
    if (entry) {
      const { note, realBytes } = entry;
      return {
        name,
        origin: note.origin,
        title: note.title,
        description: note.description,
        engine: note.report.engine,
        architecture: note.report.root?.architecture ?? 'unknown',
        virtualBytes: note.report.virtualBytes,
        realBytes,
        createdMs: note.createdMs,
        usedBy: this.usedBy(name),
        report: note.report,
      };
    }
    if (!Object.hasOwn(recipes, name)) return undefined;
    return {
      name,
      origin: 'available',
      ...recipes[name as keyof typeof recipes],
      virtualBytes: 0,
      realBytes: 0,
      usedBy: [],
    };
  }

  inspect(file: Handed, signal: AbortSignal): Promise<ImageReport> {
    return this.intake.look(file, signal);
  }

  /** The name is made from what the owner calls the file, unless given. */
  import(file: Handed, name: string | undefined, after: () => void): JobView {
    const { title } = file;
    const chosen = name ?? this.freeName(title);
    this.refuseTaken(chosen);
    return this.jobs.start({ kind: 'image-import', title: `Import ${title}` }, async (job) => {
      try {
        const place = await this.intake.folderFor(file);
        await this.make(
          { name: chosen, origin: 'imported', title },
          () => this.intake.import(file, place, job),
          place.directory,
        );
        return chosen;
      } finally {
        after();
      }
    });
  }

  build(recipe: ImageRecipe): JobView {
    this.refuseTaken(recipe);
    const title = titleOf(recipe);
    return this.jobs.start({ kind: 'image-build', title: `Build ${title}` }, async (job) => {
      const origin = recipe.startsWith('tiny') ? ('built-in' as const) : ('built' as const);
      await this.make({ name: recipe, origin, title }, (directory) =>
        buildImage(recipe, directory, { paths: this.paths, finish: this.finish, job }),
      );
      return recipe;
    });
  }

  /** Makes Tiny Linux if it is not there, or if its recipe has changed and nobody uses it. */
  async ensureTiny(recipe: 'tiny' | 'tiny-riscv64' = 'tiny', job?: JobHandle): Promise<void> {
    const key = await tinyKey(this.paths, recipe);
    const entry = this.entries.get(recipe);
    const users = [...this.usedBy(recipe), ...(await this.trashedUsers(recipe))];
    if (entry && (entry.note.key === key || users.length > 0)) return;
    if (entry) await this.remove(recipe);
    const about = { name: recipe, origin: 'built-in', title: titleOf(recipe), key } as const;
    await this.make(about, (directory) =>
      buildImage(recipe, directory, { paths: this.paths, finish: this.finish, job }),
    );
  }

  async remove(name: string): Promise<void> {
    this.find(name);
    // One that is in the trash is to come back whole.
    const trashed = await this.trashedUsers(name);
    refuseUsed(name, [
      ...this.usedBy(name).map((user) => `“${user}”`),
      ...trashed.map((user) => `“${user}” in the trash`),
    ]);
    const doomed = join(this.paths.images, `.gone-${name}-${randomBytes(4).toString('hex')}`);
    await rename(join(this.paths.images, name), doomed);
    this.entries.delete(name);
    this.announce(name);
    await rm(doomed, { recursive: true, force: true });
  }

  /** Nothing of files that were only looked into stays. */
  close(): Promise<void> {
    return this.intake.close();
  }

  /** `work` fills the folder, which becomes the image; a new one unless given. */
  private async make(
    image: { name: string } & Pick<ImageNote, 'origin' | 'title' | 'key'>,
    work: (directory: string) => Promise<Made>,
    building = join(this.paths.images, `.new-${image.name}-${randomBytes(4).toString('hex')}`),
  ): Promise<void> {
    const { name, ...about } = image;
    try {
      await makeDirectory(building);
      const made = await work(building);
      await rename(made.rawPath, join(building, diskFile));
      const note: ImageNote = {
        ...about,
        description: made.report.sentence,
        createdMs: this.nowMs(),
        report: made.report,
      };
      await writeFileAtomic(join(building, noteFile), JSON.stringify(note, null, 2));
      this.refuseTaken(name);
      await rename(building, join(this.paths.images, name));
      await syncDirectory(this.paths.images);
    } catch (thrown) {
      await rm(building, { recursive: true, force: true });
      throw thrown;
    }
    await this.read(name);
    this.announce(name);
  }

  private async read(name: string): Promise<void> {
    try {
      const directory = join(this.paths.images, name);
      const note = JSON.parse(await readFile(join(directory, noteFile), 'utf8')) as ImageNote;
      const { blocks } = await stat(join(directory, diskFile));
      this.entries.set(name, { note, realBytes: blocks * 512 });
    } catch {
      // Not an image of ours; it stays where it is and is not listed.
    }
  }

  private find(name: string): Entry {
    const entry = this.entries.get(name);
    if (entry) return entry;
    const known = Object.hasOwn(recipes, name);
    throw new Refusal(
      'not-found',
      known
        ? `The image “${name}” is not built yet: nymph image build ${name}.`
        : `There is no image “${name}”.`,
    );
  }

  private refuseTaken(name: string): void {
    if (this.entries.has(name) || existsSync(join(this.paths.images, name))) {
      throw new Refusal('exists', `There is an image “${name}” already.`);
    }
  }

  private freeName(title: string): string {
    const stem = basename(title)
      .replace(/\.(gz|xz|zst|bz2|raw|img|qcow2|tar|tgz|txz)$/gi, '')
      .replace(/\.(raw|img|qcow2|tar)$/i, '')
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '')
      .slice(0, 48);
    const base = stem || 'image';
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}-${number}`;
      if (!this.entries.has(name) && !existsSync(join(this.paths.images, name))) return name;
    }
  }
}

function refuseUsed(image: string, users: readonly string[]): void {
  if (users.length === 0) return;
  const more = users.length > 3 ? ` and ${users.length - 3} more` : '';
  const who = users.slice(0, 3).join(', ') + more;
  throw new Refusal('in-use', `The image “${image}” is used by ${who}.`);
}
