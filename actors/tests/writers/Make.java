// The events as Jackson and Gson write them.

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.LongSerializationPolicy;
import com.google.gson.ToNumberPolicy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

class Make {
    public static void main(String[] arguments) throws Exception {
        String spec = Files.readString(Path.of(arguments[1]));
        List<String> texts = arguments[0].equals("jackson") ? jackson(spec) : gson(spec);
        System.out.println(new GsonBuilder().setPrettyPrinting().disableHtmlEscaping().create().toJson(texts));
    }

    static List<String> jackson(String spec) throws Exception {
        ObjectMapper plain = new ObjectMapper();
        ObjectMapper[] mappers = {
            plain,
            new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT),
            new ObjectMapper().configure(JsonWriteFeature.ESCAPE_NON_ASCII.mappedFeature(), true),
            new ObjectMapper().configure(JsonWriteFeature.WRITE_NUMBERS_AS_STRINGS.mappedFeature(), true),
        };
        List<String> texts = new ArrayList<>();
        for (JsonNode event : plain.readTree(spec)) {
            texts.add(mappers[texts.size() % mappers.length].writeValueAsString(event));
        }
        return texts;
    }

    static List<String> gson(String spec) {
        Gson plain = new Gson();
        GsonBuilder longs = new GsonBuilder().setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE).serializeNulls();
        Gson[] writers = {
            longs.create(),
            longs.setPrettyPrinting().create(),
            longs.disableHtmlEscaping().setLongSerializationPolicy(LongSerializationPolicy.STRING).create(),
        };
        List<String> texts = new ArrayList<>();
        for (JsonElement event : plain.fromJson(spec, JsonElement[].class)) {
            Gson writer = writers[texts.size() % writers.length];
            texts.add(writer.toJson(writer.fromJson(event, Map.class)));
        }
        return texts;
    }
}
