import java.io.BufferedReader;
import java.io.InputStreamReader;
import org.apache.fluss.shaded.curator5.org.apache.curator.framework.CuratorFramework;
import org.apache.fluss.shaded.curator5.org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.fluss.shaded.curator5.org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.fluss.shaded.curator5.org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.fluss.shaded.curator5.org.apache.curator.framework.recipes.leader.Participant;
import org.apache.fluss.shaded.curator5.org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * Takes part in an election with Curator's leader latch, as official coordinators do: arguments address, namespace,
 * path, id. Prints "leader" and "not leader" when that changes, and for a line "participants" the ids, the leader first.
 * Ends, and closes the latch, with its input.
 */
public final class LatchParticipant {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client =
                CuratorFrameworkFactory.builder()
                        .connectString(arguments[0])
                        .namespace(arguments[1])
                        .sessionTimeoutMs(4000)
                        .retryPolicy(new ExponentialBackoffRetry(100, 3))
                        .build();
        client.start();
        LeaderLatch latch = new LeaderLatch(client, arguments[2], arguments[3]);
        latch.addListener(
                new LeaderLatchListener() {
                    @Override
                    public void isLeader() {
                        System.out.println("leader");
                    }

                    @Override
                    public void notLeader() {
                        System.out.println("not leader");
                    }
                });
        latch.start();
        System.out.println("started");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            StringBuilder ids = new StringBuilder("participants");
            for (Participant participant : latch.getParticipants()) {
                ids.append(' ').append(participant.getId());
            }
            System.out.println(ids);
        }
        latch.close();
        client.close();
    }
}
