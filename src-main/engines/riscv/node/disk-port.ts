/** A disk that is open, as a port of the thread that asks for one. */
import { FileBlock, openFile } from './file-block.ts';
import type { OpenDisk } from './open-disk.ts';
import { openOverlay, OverlayBlock } from './overlay-block.ts';

/** @throws Refusal `bad-input` for a damaged overlay. */
export function openDisk({ path, backing }: { path: string; backing?: string }): OpenDisk {
  return backing === undefined ? openFile(path, false) : openOverlay(path, backing);
}

export function diskPort(disk: OpenDisk): FileBlock | OverlayBlock {
  const { overlay } = disk;
  return overlay === undefined ? new FileBlock(disk) : new OverlayBlock({ ...disk, overlay });
}
