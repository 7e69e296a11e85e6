// SPDX-License-Identifier: GPL-2.0
/*
 * usage: metadata DISK LBA-BYTES METADATA-BYTES TYPE FIRST
 *
 * Writes and reads a disk through the block layer, by io_uring, with metadata of its own from
 * buffers that begin anywhere and cross pages. TYPE is that of the protection information, 0
 * for none, and FIRST is 1 if that is in the metadata's first bytes. Writes a line for each
 * transfer: what the write and the read returned, and whether all came back. A program of
 * the guest.
 */
#define _GNU_SOURCE	/* O_DIRECT */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <liburing.h>
#include <linux/types.h>

/* As in linux/io_uring.h and linux/fs.h, which may be older than the kernel under test. */
#define ATTRIBUTE_PI		1U
#define CHECK_GUARD		1U
#define CHECK_REFTAG		2U
#define ATTRIBUTE_OFFSET	48	/* in a submission queue entry, of attr_ptr */

struct attribute_pi {
	__u16 flags;
	__u16 app_tag;
	__u32 length;
	__u64 address;
	__u64 seed;
	__u64 reserved;
};

#define LENGTH(array)		(sizeof(array) / sizeof(*(array)))
#define MOST_BYTES		(4096 + 64)	/* of a block, with metadata */
#define TUPLE			8	/* bytes of protection information */
#define FIRST_LBA		5
#define MOST_BLOCKS		70

static struct io_uring ring;
static int disk;
static unsigned int lba_bytes, metadata_bytes, type, first;
static __u8 *out, *in, *metadata_out, *metadata_in;

/* The CRC of T10's protection information. */
static __u16 guard(const __u8 *data, size_t count)
{
	__u16 crc = 0;

	while (count--) {
		crc ^= *data++ << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 0x8000 ? crc << 1 ^ 0x8bb7 : crc << 1;
	}
	return crc;
}

/* Makes a block's protection information; what else it has is given. */
static void protect(const __u8 *data, __u8 *metadata, __u32 lba)
{
	__u8 *tuple = metadata + (first ? 0 : metadata_bytes - TUPLE);
	__u8 covered[MOST_BYTES];
	size_t before = tuple - metadata;
	__u16 crc;

	memcpy(covered, data, lba_bytes);
	memcpy(covered + lba_bytes, metadata, before);
	crc = guard(covered, lba_bytes + before);
	tuple[0] = crc >> 8;
	tuple[1] = crc;
	memset(tuple + 2, 0, 2);
	for (int byte = 0; byte < 4; byte++)
		tuple[4 + byte] = lba >> (24 - 8 * byte);
}

/* Returns what the kernel returns. */
static int transfer(int is_write, __u8 *data, __u8 *metadata, unsigned int blocks)
{
	struct attribute_pi pi = {
		.flags = type ? CHECK_GUARD | (type == 3 ? 0 : CHECK_REFTAG) : 0,
		.length = blocks * metadata_bytes,
		.address = (unsigned long)metadata,
		.seed = FIRST_LBA,
	};
	struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
	__u64 words[2] = { (unsigned long)&pi, ATTRIBUTE_PI };
	struct io_uring_cqe *completion;
	off_t at = (off_t)FIRST_LBA * lba_bytes;
	int result;

	if (is_write)
		io_uring_prep_write(entry, disk, data, blocks * lba_bytes, at);
	else
		io_uring_prep_read(entry, disk, data, blocks * lba_bytes, at);
	memcpy((char *)entry + ATTRIBUTE_OFFSET, words, sizeof(words));
	if (io_uring_submit_and_wait(&ring, 1) < 0)
		err(1, "io_uring_submit_and_wait");
	result = io_uring_wait_cqe(&ring, &completion);
	if (result)
		errx(1, "io_uring_wait_cqe: %s", strerror(-result));
	result = completion->res;
	io_uring_cqe_seen(&ring, completion);
	return result;
}

static __u8 *pages(size_t count)
{
	__u8 *found = mmap(NULL, count, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (found == MAP_FAILED)
		err(1, "mmap");
	return found;
}

/* Writes some blocks, reads them, and says what came back. */
static void try(unsigned int blocks, unsigned int data_at, unsigned int metadata_at)
{
	__u8 *from = out + data_at, *metadata_from = metadata_out + metadata_at;
	__u8 *to = in + data_at, *metadata_to = metadata_in + metadata_at;
	size_t bytes = blocks * lba_bytes, bytes_of_metadata = blocks * metadata_bytes;
	int wrote, got;

	for (size_t at = 0; at < bytes; at++)
		from[at] = rand();
	for (size_t at = 0; at < bytes_of_metadata; at++)
		metadata_from[at] = rand();
	for (unsigned int block = 0; type && block < blocks; block++)
		protect(from + block * lba_bytes, metadata_from + block * metadata_bytes,
			FIRST_LBA + block);
	wrote = transfer(1, from, metadata_from, blocks);
	memset(to, 0, bytes);
	memset(metadata_to, 0, bytes_of_metadata);
	got = transfer(0, to, metadata_to, blocks);
	printf("%u blocks, data at %u, metadata at %u: wrote %d, read %d, %s, %s\n",
	       blocks, data_at, metadata_at, wrote, got,
	       memcmp(from, to, bytes) ? "other data" : "data",
	       memcmp(metadata_from, metadata_to, bytes_of_metadata) ?
	       "other metadata" : "metadata");
}

int main(int argc, char **argv)
{
	/* In a page, of which the last bytes are at its end. */
	const unsigned int end = sysconf(_SC_PAGESIZE);
	const unsigned int data_at[] = { 0, 512, 8, end - 8 };
	const unsigned int metadata_at[] = { 0, 8, 4, end - 8, end - 4, end - 24, 1 };
	const unsigned int blocks[] = { 1, 3, 8, MOST_BLOCKS };
	int result;

	if (argc != 6)
		errx(2, "usage: metadata DISK LBA-BYTES METADATA-BYTES TYPE FIRST");
	lba_bytes = atoi(argv[2]);
	metadata_bytes = atoi(argv[3]);
	type = atoi(argv[4]);
	first = atoi(argv[5]);
	disk = open(argv[1], O_RDWR | O_DIRECT);
	if (disk < 0)
		err(1, "%s", argv[1]);
	result = io_uring_queue_init(4, &ring, 0);
	if (result)
		errx(1, "io_uring_queue_init: %s", strerror(-result));
	out = pages(end + MOST_BLOCKS * lba_bytes);
	in = pages(end + MOST_BLOCKS * lba_bytes);
	metadata_out = pages(end + MOST_BLOCKS * metadata_bytes);
	metadata_in = pages(end + MOST_BLOCKS * metadata_bytes);

	for (size_t n = 0; n < LENGTH(blocks); n++) {
		for (size_t at = 0; at < LENGTH(data_at); at++) {
			for (size_t meta = 0; meta < LENGTH(metadata_at); meta++)
				try(blocks[n], data_at[at], metadata_at[meta]);
		}
	}
	return 0;
}
