import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Scanner;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.fluss.client.Connection;
import org.apache.fluss.client.ConnectionFactory;
import org.apache.fluss.client.lookup.Lookuper;
import org.apache.fluss.client.table.Table;
import org.apache.fluss.config.Configuration;
import org.apache.fluss.metadata.TablePath;
import org.apache.fluss.row.GenericRow;

/**
 * Lookups by primary key with the official client.
 *
 * <p>Reads lines {@code bootstrap database table keys inFlight milliseconds} and answers each with {@code count seconds p50 p99}, the
 * latter two in microseconds. Keys are of type BIGINT, from 0 to {@code keys} - 1, in a scattered order. One process measures all
 * servers, so that its compiled code is as warm for one as for the other.
 */
public final class Lookups {
    private static final int MAX_SAMPLES = 4_000_000;
    private static final long KEY_STRIDE = 7_919;

    private final Map<String, Connection> connections = new HashMap<>();
    private final int[] latencies = new int[MAX_SAMPLES];

    public static void main(String[] arguments) throws Exception {
        Lookups lookups = new Lookups();
        Scanner input = new Scanner(System.in);
        while (input.hasNextLine()) {
            String[] fields = input.nextLine().trim().split(" ");
            System.out.println(
                    lookups.measure(
                            fields[0],
                            TablePath.of(fields[1], fields[2]),
                            Long.parseLong(fields[3]),
                            Integer.parseInt(fields[4]),
                            Duration.ofMillis(Long.parseLong(fields[5]))));
            System.out.flush();
        }
        for (Connection connection : lookups.connections.values()) {
            connection.close();
        }
    }

    private String measure(String bootstrap, TablePath path, long keys, int inFlight, Duration duration) throws Exception {
        Connection connection = connections.get(bootstrap);
        if (connection == null) {
            Configuration configuration = new Configuration();
            configuration.setString("bootstrap.servers", bootstrap);
            // By default the client holds lookups for 100 ms to fill a batch, which would be all that is measured.
            configuration.setString("client.lookup.batch-timeout", "100 micro");
            connection = ConnectionFactory.createConnection(configuration);
            connections.put(bootstrap, connection);
        }
        try (Table table = connection.getTable(path)) {
            Lookuper lookuper = table.newLookup().createLookuper();
            Semaphore slots = new Semaphore(inFlight);
            AtomicInteger samples = new AtomicInteger();
            AtomicLong failures = new AtomicLong();
            long begin = System.nanoTime();
            long end = begin + duration.toNanos();
            long key = 0;
            while (System.nanoTime() < end) {
                slots.acquire();
                long sent = System.nanoTime();
                key = (key + KEY_STRIDE) % keys;
                lookuper.lookup(GenericRow.of(key))
                        .whenComplete(
                                (result, failure) -> {
                                    int index = samples.getAndIncrement();
                                    if (index < MAX_SAMPLES) {
                                        latencies[index] = (int) ((System.nanoTime() - sent) / 1_000);
                                    }
                                    if (failure != null || result.getSingletonRow() == null) {
                                        failures.incrementAndGet();
                                    }
                                    slots.release();
                                });
            }
            slots.acquire(inFlight);
            double seconds = (System.nanoTime() - begin) / 1e9;
            if (failures.get() > 0) {
                throw new IllegalStateException(failures + " lookups found nothing");
            }
            int[] sorted = Arrays.copyOf(latencies, Math.min(samples.get(), MAX_SAMPLES));
            Arrays.sort(sorted);
            return samples + " " + seconds + " " + sorted[sorted.length / 2] + " " + sorted[(int) (sorted.length * 0.99)];
        }
    }
}
