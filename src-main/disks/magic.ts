/**
 * What a source is, told by its content and never by a name: `recognise(source)`.
 *
 * The answer is a wrapper to take off, a container to read, a file system, or a thing that is not
 * a disk we can boot, then with the sentence that says what it is and what to do instead. Reads
 * at most about 70 KiB from the front and 512 bytes from the end.
 */
import { hasAt, viewOf } from './bytes.ts';
import type { ByteSource } from './source.ts';

export type Wrapper = 'gzip' | 'xz' | 'zstd' | 'bzip2';

export type Recognised =
  | { kind: 'wrapper'; wrapper: Wrapper }
  | { kind: 'qcow2' }
  | { kind: 'tar' }
  | { kind: 'partitioned' }
  | { kind: 'filesystem'; filesystem: string }
  | { kind: 'empty' } // all zeros where anything would be written
  | { kind: 'unknown' }
  | { kind: 'refused'; sentence: string };

const headBytes = 0x11000; // covers the btrfs superblock at 0x10000

export async function recognise(source: ByteSource): Promise<Recognised> {
  const head = await source.read(0, Math.min(source.size, headBytes));
  const wrapper = wrapperOf(head);
  if (wrapper) return { kind: 'wrapper', wrapper };
  if (hasAt(head, 0, 'QFI\u00fb')) return { kind: 'qcow2' };
  const refused = containerSentence(head) ?? programSentence(head);
  if (refused) return { kind: 'refused', sentence: refused };
  if (isTar(head)) {
    return tarName(head).toLowerCase().endsWith('.ovf')
      ? { kind: 'refused', sentence: ovaSentence }
      : { kind: 'tar' };
  }
  const filesystem = filesystemOf(head);
  // A boot sector of vfat or ntfs also ends in 55 aa, so file systems come before tables.
  if (filesystem) return { kind: 'filesystem', filesystem };
  if (isPartitioned(head)) return { kind: 'partitioned' };
  if (source.size >= 512 && source.size % 512 === 0) {
    const tail = await source.read(source.size - 512, 512);
    if (hasAt(tail, 0, 'conectix')) return { kind: 'refused', sentence: vhdSentence };
    // A disk whose first header was overwritten still has the one at its end.
    if (hasAt(tail, 0, 'EFI PART')) return { kind: 'partitioned' };
  }
  return head.every((byte) => byte === 0) ? { kind: 'empty' } : { kind: 'unknown' };
}

function wrapperOf(head: Uint8Array): Wrapper | undefined {
  if (hasAt(head, 0, '\u001f\u008b\u0008')) return 'gzip';
  if (hasAt(head, 0, '\u00fd7zXZ\u0000')) return 'xz';
  if (hasAt(head, 0, '\u0028\u00b5\u002f\u00fd')) return 'zstd';
  const skippable = head.length > 3 && (head[0]! & 0xf0) === 0x50;
  if (skippable && hasAt(head, 1, '\u002a\u004d\u0018')) return 'zstd';
  const level = head[3] ?? 0;
  const bzip2 = hasAt(head, 0, 'BZh') && level >= 0x31 && level <= 0x39;
  const block = hasAt(head, 4, '1AY&SY') || hasAt(head, 4, '\u0017rE8P\u0090');
  return bzip2 && block ? 'bzip2' : undefined;
}

const convert = (what: string, format: string): string =>
  `This is a ${what}. Convert it with "qemu-img convert -f ${format} -O qcow2 FILE OUT.qcow2" ` +
  'and import the result.';
const vhdSentence = convert('Virtual PC disk (VHD)', 'vpc');
const ovaSentence = 'This is an OVA appliance. Unpack it with "tar -xf" and convert the disk ' +
  'inside with "qemu-img convert -f vmdk -O qcow2".';

const archives = [
  ['PK\u0003\u0004', 'zip'],
  ['7z\u00bc\u00af\u0027\u001c', '7z'],
  ['Rar!\u001a\u0007', 'RAR'],
] as const;
const compressions = [
  ['\u0004\u0022\u004d\u0018', 'lz4'],
  ['LZIP', 'lzip'],
  ['\u0089LZO\u0000', 'lzop'],
] as const;

function containerSentence(head: Uint8Array): string | undefined {
  if (hasAt(head, 0, 'KDMV') || hasAt(head, 0, 'COWD')) {
    return convert('VMware disk (VMDK)', 'vmdk');
  }
  if (hasAt(head, 0, '# Disk DescriptorFile')) {
    return 'This is only the description of a VMware disk (VMDK); its data is in another file. ' +
      'Convert it with "qemu-img convert -f vmdk -O qcow2" beside that file.';
  }
  if (hasAt(head, 0, 'conectix')) return vhdSentence;
  if (hasAt(head, 0, 'vhdxfile')) return convert('Hyper-V disk (VHDX)', 'vhdx');
  if (hasAt(head, 0x40, '\u007f\u0010\u00da\u00be')) {
    return convert('VirtualBox disk (VDI)', 'vdi');
  }
  if (hasAt(head, 0, 'QED\u0000')) return convert('QEMU QED disk', 'qed');
  if (hasAt(head, 0, 'OOOM') || hasAt(head, 0, 'MOOO')) {
    return 'This is a User Mode Linux overlay: it holds only the changes to another image. ' +
      'Import that image, or merge the two with "uml_moo" first.';
  }
  if (hasAt(head, 0x8001, 'CD001')) {
    return 'This is a CD or DVD image (ISO 9660). It is meant to be booted by a PC firmware to ' +
      'install a system; import a ready disk image (qcow2 or raw) of the same system instead.';
  }
  for (const [mark, name] of archives) {
    if (hasAt(head, 0, mark)) {
      return `This is a ${name} archive. Unpack it and import the disk inside.`;
    }
  }
  for (const [mark, name] of compressions) {
    if (hasAt(head, 0, mark)) {
      return `This is ${name} compressed. Unpack it with "${name} -d" and import the result.`;
    }
  }
  if (hasAt(head, 0, '!<arch>\n')) {
    return 'This is a package or library archive (ar), not a disk.';
  }
  return undefined;
}

function programSentence(head: Uint8Array): string | undefined {
  if (hasAt(head, 0, '\u007fELF')) {
    return 'This is a program or a kernel (ELF), not a disk. ' +
      'A User Mode Linux kernel is added with "nymph kernel import".';
  }
  if (hasAt(head, 0x202, 'HdrS')) {
    return 'This is a Linux kernel for PC hardware (bzImage), not a disk; ' +
      'the machines here bring their own kernel.';
  }
  if (hasAt(head, 0x38, 'ARM\u0064') || hasAt(head, 0x38, 'RSC\u0005')) {
    return 'This is a Linux kernel image, not a disk; the machines here bring their own kernel.';
  }
  const ascii = ['070701', '070702', '070707'].some((mark) => hasAt(head, 0, mark));
  if (ascii || hasAt(head, 0, '\u00c7\u0071') || hasAt(head, 0, '\u0071\u00c7')) {
    return 'This is a cpio archive, most likely an initial RAM disk (initramfs). ' +
      'A machine needs a disk image or a tar of a root file system.';
  }
  if (['%PDF', '\u0089PNG', '\u00ff\u00d8\u00ff'].some((mark) => hasAt(head, 0, mark))) {
    return 'This is a document or picture, not a disk.';
  }
  return undefined;
}

/** The file system at the start of `head` (which should hold 68 KiB if there are so many). */
export function filesystemOf(head: Uint8Array): string | undefined {
  if (hasAt(head, 0x438, '\u0053\u00ef')) return extName(head);
  if (hasAt(head, 0x10040, '_BHRfS_M')) return 'btrfs';
  if (hasAt(head, 0, 'XFSB')) return 'xfs';
  if (hasAt(head, 0, 'hsqs')) return 'squashfs';
  if (hasAt(head, 1024, '\u00e2\u00e1\u00f5\u00e0')) return 'erofs';
  if (hasAt(head, 1024, '\u0010\u0020\u00f5\u00f2')) return 'f2fs';
  if (hasAt(head, 3, 'NTFS    ')) return 'ntfs';
  if (hasAt(head, 3, 'EXFAT   ')) return 'exfat';
  const bootSector = hasAt(head, 510, '\u0055\u00aa');
  if (bootSector && (hasAt(head, 82, 'FAT32') || hasAt(head, 54, 'FAT1'))) return 'vfat';
  if (hasAt(head, 0, 'LUKS\u00ba\u00be')) return 'luks';
  if (hasAt(head, 0x218, 'LVM2 001')) return 'lvm';
  if (hasAt(head, 4086, 'SWAPSPACE2') || hasAt(head, 4086, 'SWAP-SPACE')) return 'swap';
  if (hasAt(head, 0x8001, 'CD001')) return 'iso9660';
  if (hasAt(head, 0x10034, 'ReIsEr')) return 'reiserfs';
  if (hasAt(head, 0, '\u0045\u003d\u00cd\u0028')) return 'cramfs';
  if (hasAt(head, 0x8000, 'JFS1')) return 'jfs';
  if (hasAt(head, 0x55c, '\u0019\u0001\u0054\u0019')) return 'ufs2';
  return undefined;
}

function extName(head: Uint8Array): string {
  if (head.length < 1024 + 104) return 'ext2';
  const view = viewOf(head);
  const compat = view.getUint32(1024 + 92, true);
  const incompat = view.getUint32(1024 + 96, true);
  const roCompat = view.getUint32(1024 + 100, true);
  // Extents and anything newer make it ext4; a journal alone makes it ext3.
  if (incompat & ~0x1f || roCompat & ~0x7) return 'ext4';
  return compat & 4 ? 'ext3' : 'ext2';
}

export function isTar(head: Uint8Array): boolean {
  if (head.length < 512) return false;
  let sum = 0;
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 32 : head[i]!;
  const stored = parseInt(textBetween(head, 148, 156), 8);
  return stored === sum && sum !== 256;
}

function tarName(head: Uint8Array): string {
  return textBetween(head, 0, 100);
}

function textBetween(head: Uint8Array, from: number, to: number): string {
  let text = '';
  for (let i = from; i < to && head[i] !== 0; i++) text += String.fromCharCode(head[i]!);
  return text.trim();
}

function isPartitioned(head: Uint8Array): boolean {
  if (hasAt(head, 512, 'EFI PART') || hasAt(head, 4096, 'EFI PART')) return true;
  if (!hasAt(head, 510, '\u0055\u00aa')) return false;
  let used = 0;
  for (let entry = 446; entry < 510; entry += 16) {
    const flag = head[entry]!;
    if (flag !== 0 && flag !== 0x80) return false;
    if (head[entry + 4] !== 0) used += 1;
  }
  return used > 0;
}

/** Why a file system that is not ext2, ext3 or ext4 cannot be a machine's root here. */
export function filesystemSentence(filesystem: string): string {
  switch (filesystem) {
    case 'squashfs':
    case 'erofs':
    case 'cramfs':
      return `This is a read-only ${filesystem} file system, as live media use it. ` +
        'Import an installed disk image or a tar of the root file system instead.';
    case 'vfat':
    case 'exfat':
    case 'ntfs':
      return `This is a ${filesystem} file system, as Windows and USB sticks use it: ` +
        'there is no Linux system on it to boot.';
    case 'luks':
      return 'This disk is encrypted (LUKS); its content cannot be seen.';
    case 'lvm':
      return 'This is an LVM volume; only plain partitions can be booted.';
    case 'swap':
      return 'This is swap space, not a disk with a system.';
    default:
      return `This is a ${filesystem} file system; the kernels here start only from ext2, ext3 ` +
        'and ext4.';
  }
}
